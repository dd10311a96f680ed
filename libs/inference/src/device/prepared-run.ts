import { koffi } from '@onepass/shared-memory';
import type { RunTerms } from '../engine.js';
import { ELEMENT_CODES, type NativeNames } from '../onnx-graph.js';
import type { Address } from '../onnxruntime.js';
import { abortReason } from '../run-queue.js';
import { graphDefect } from '../tensors.js';
import { micros, TimedQueue } from '../timed-queue.js';
import type { DeviceBuffer, DeviceRunTiming, HostArrays, PreparedRun, Resident } from './device.js';
import type { DeviceHost, Lane } from './device-host.js';
import { MOST_HOST_BYTES, type Pair } from './driver.js';
import type { Script } from './lane-thread.js';
import { type BoundTensor, viewOf } from './shapes.js';

/** What is bound in every lane. */
export interface Binding {
  readonly graph: string;
  readonly inputs: readonly BoundTensor[];
  readonly outputs: readonly BoundTensor[];
  readonly inputNames: NativeNames;
  readonly outputNames: NativeNames;
  /** Inputs that are read on the CPU. */
  readonly hostInputs: ReadonlySet<string>;
  readonly resident: Resident;
  /** The number under which runs are captured, `NOT_CAPTURED` where others of the session are; absent = none is. */
  readonly capture?: number;
}

/** ONNX Runtime's number for a run that is not to be captured. */
export const NOT_CAPTURED = -1;

/** A prepared run in one lane: its buffers, and the steps of a run. */
export class PreparedLane {
  readonly inputs: HostArrays;
  readonly outputs: HostArrays;
  readonly bytes: number;
  readonly runOptions: Address;
  readonly #host: DeviceHost;
  readonly #release: (() => void)[];
  readonly #script: Script;

  private constructor(host: DeviceHost, parts: LaneParts, script: Script) {
    this.#host = host;
    this.#release = parts.release;
    this.#script = script;
    this.inputs = parts.inputs;
    this.outputs = parts.outputs;
    this.bytes = parts.bytes;
    this.runOptions = parts.runOptions;
  }

  /** In a lane that nobody else uses. @throws DeviceFault or Error of the device; then nothing stays taken */
  static async make(host: DeviceHost, lane: Lane, session: Address, binding: Binding): Promise<PreparedLane> {
    const parts = new LaneParts(host, lane, session);
    try {
      parts.makeRunOptions(binding.capture);
      const inputs = binding.inputs.map((tensor, i) => parts.bind('in', tensor, binding.inputNames.at(i), binding));
      const outputs = binding.outputs.map((tensor, i) => parts.bind('out', tensor, binding.outputNames.at(i), binding));
      await host.play(lane, [...inputs, ...outputs]);
      const run = host.runtime.steps.runBound(session, parts.runOptions, parts.binding);
      const steps = [...parts.copyIn, run, ...parts.copyOut, ...lane.driver.finish];
      return new PreparedLane(host, parts, lane.thread.define(steps));
    } catch (error) {
      parts.close();
      throw error;
    }
  }

  /** @returns microseconds. @throws DeviceFault */
  async play(): Promise<number> {
    const played = await this.#script.play();
    this.#host.check(played, this.#script.steps);
    return played.micros;
  }

  close(): void {
    this.#script.forget();
    for (const release of this.#release.splice(0).reverse()) release();
  }
}

/** What a prepared lane is put together from, released in the other order. */
class LaneParts {
  readonly inputs: Record<string, HostArrays[string]> = {};
  readonly outputs: Record<string, HostArrays[string]> = {};
  readonly copyIn: Pair['copyIn'][number][] = [];
  readonly copyOut: Pair['copyOut'][number][] = [];
  readonly release: (() => void)[] = [];
  readonly binding: Address;
  runOptions: Address = 0n;
  bytes = 0;
  readonly #host: DeviceHost;
  readonly #lane: Lane;
  readonly #out = new BigUint64Array(16);

  constructor(host: DeviceHost, lane: Lane, session: Address) {
    this.#host = host;
    this.#lane = lane;
    const { runtime } = host;
    runtime.check(runtime.createBinding(session, this.#out));
    const binding = this.#out[0]!;
    this.binding = binding;
    this.release.push(() => runtime.releaseBinding(binding));
  }

  makeRunOptions(capture: number | undefined): void {
    const { runtime, driver } = this.#host;
    runtime.check(runtime.createRunOptions(this.#out));
    const options = this.#out[0]!;
    this.runOptions = options;
    this.release.push(() => runtime.releaseRunOptions(options));
    const number = driver.captureKey && { [driver.captureKey]: String(capture ?? NOT_CAPTURED) };
    const config = { ...driver.runConfig(capture !== undefined), ...number };
    for (const [key, value] of Object.entries(config)) runtime.check(runtime.addRunConfig(options, key, value));
  }

  /** @returns the step that binds the tensor to its memory */
  bind(side: 'in' | 'out', tensor: BoundTensor, name: Address, { resident, hostInputs }: Binding) {
    const { runtime, driver } = this.#host;
    const buffer = resident[tensor.spec.name];
    // Bound from the device, such an input would be copied to the host when it is bound, and never again.
    const onHost = side === 'in' && hostInputs.has(tensor.spec.name);
    if (onHost && buffer !== undefined)
      throw new Error(`"${tensor.spec.name}" is read on the CPU: it cannot be resident`);
    const address = buffer?.address ?? this.#pair(side, tensor, onHost);
    const value = this.#value(tensor, address, onHost ? runtime.cpuMemory : driver.memoryInfo);
    const { bindInput, bindOutput } = runtime.steps;
    return side === 'in' ? bindInput(this.binding, name, value) : bindOutput(this.binding, name, value);
  }

  close(): void {
    for (const release of this.release.splice(0).reverse()) release();
  }

  #pair(side: 'in' | 'out', tensor: BoundTensor, onHost: boolean): Address {
    if (tensor.bytes > MOST_HOST_BYTES)
      throw new Error(`"${tensor.spec.name}" of shape [${tensor.shape}] has more bytes than a buffer on the host`);
    const pair = this.#lane.driver.pair(tensor.bytes);
    this.release.push(() => pair.close());
    this.bytes += tensor.bytes;
    const array = viewOf(tensor, pair.host);
    if (side === 'in') {
      this.inputs[tensor.spec.name] = array;
      if (!onHost) this.copyIn.push(...pair.copyIn);
    } else {
      this.outputs[tensor.spec.name] = array;
      this.copyOut.push(...pair.copyOut);
    }
    return onHost ? pair.hostAddress : pair.device;
  }

  #value({ spec, shape, bytes }: BoundTensor, address: Address, memory: Address): Address {
    const { runtime } = this.#host;
    const dimensions = BigInt64Array.from([...shape.map(BigInt), ...new Array(16).fill(0n)]);
    const type = ELEMENT_CODES[spec.element ?? 'float32'];
    const out = koffi.address(this.#out);
    runtime.check(runtime.createTensor(memory, address, bytes, dimensions, shape.length, type, out));
    const value = this.#out[0]!;
    this.release.push(() => runtime.releaseValue(value));
    return value;
  }
}

/** A run of one graph and one set of shapes, in any lane. */
export class OnnxPreparedRun implements PreparedRun {
  readonly bytes: number;
  readonly isCaptured: boolean;
  readonly #host: DeviceHost;
  readonly #graph: string;
  readonly #lanes: readonly PreparedLane[];
  readonly #resident: ReadonlySet<DeviceBuffer>;
  readonly #queue: TimedQueue;
  readonly #onClose: () => void;
  #open = true;

  constructor(host: DeviceHost, binding: Binding, lanes: readonly PreparedLane[], onClose: () => void) {
    this.#host = host;
    this.#graph = binding.graph;
    this.isCaptured = binding.capture !== undefined && binding.capture !== NOT_CAPTURED;
    this.#lanes = lanes;
    this.#resident = new Set(Object.values(binding.resident));
    this.#queue = new TimedQueue(host.queue);
    this.#onClose = onClose;
    this.bytes = lanes.reduce((sum, lane) => sum + lane.bytes, 0);
  }

  async run<T>(
    fill: (inputs: HostArrays) => void,
    read: (outputs: HostArrays) => T,
    terms: RunTerms = {},
  ): Promise<{ readonly value: T; readonly timing: DeviceRunTiming }> {
    const { value, ...timing } = await this.#queue.schedule(async (index, queueMicros) => {
      this.#host.requireDevice();
      // Its buffers are gone: to touch them would end the process.
      if (!this.#open) throw graphDefect(`graph ${this.#graph}: this prepared run is closed`);
      this.#host.requireOpen(this.#resident);
      const lane = this.#lanes[index]!;
      const began = performance.now();
      fill(lane.inputs);
      const deviceMicros = await this.#play(lane, terms.signal);
      const value = read(lane.outputs);
      return { value, queueMicros, runMicros: micros(performance.now() - began), deviceMicros };
    }, terms);
    return { value, timing };
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onClose();
    for (const lane of this.#lanes) lane.close();
  }

  async #play(lane: PreparedLane, signal: AbortSignal | undefined): Promise<number> {
    const { runtime } = this.#host;
    const terminate = () => runtime.setTerminate(lane.runOptions);
    signal?.addEventListener('abort', terminate, { once: true });
    try {
      const micros = await lane.play();
      // What is captured runs to its end; nobody waits for its numbers any more.
      if (this.isCaptured && signal?.aborted) throw abortReason(signal);
      return micros;
    } catch (error) {
      const failure = this.#host.faults.runError(this.#graph, error);
      throw signal?.aborted && failure.kind !== 'unavailable' ? abortReason(signal) : failure;
    } finally {
      signal?.removeEventListener('abort', terminate);
      if (signal?.aborted) runtime.unsetTerminate(lane.runOptions);
    }
  }
}

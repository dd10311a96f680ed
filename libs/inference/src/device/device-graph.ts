import { basename } from 'node:path';
import { OnepassError, startupError } from '@onepass/errors';
import { cannotLoad, NativeNames, readSpecs } from '../onnx-graph.js';
import { type Address, HOST_MEMORY } from '../onnxruntime.js';
import type { TensorSpec } from '../tensors.js';
import type { DeviceGraph, Dimensions, HostArrays, PreparedRun, PrepareOptions, Resident } from './device.js';
import { type DeviceHost, type Lane, Out } from './device-host.js';
import { type Binding, NOT_CAPTURED, OnnxPreparedRun, PreparedLane } from './prepared-run.js';
import { bindShapes, describeDimensions } from './shapes.js';

/** The second run of a shape finds all memory taken; what is captured is captured in the first and replayed in the others. */
const WARM_RUNS = 2;

/** A session in every lane, or one for all. */
export class OnnxDeviceGraph implements DeviceGraph {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly capture: DeviceGraph['capture'];
  readonly #host: DeviceHost;
  readonly #name: string;
  /** By lane. */
  readonly #sessions: readonly Address[];
  /** Inputs that a node on the CPU reads. */
  readonly #hostInputs: ReadonlySet<string>;
  readonly #inputNames: NativeNames;
  readonly #outputNames: NativeNames;
  readonly #prepared = new Set<OnnxPreparedRun>();

  private constructor(host: DeviceHost, path: string, sessions: readonly Address[], opened: Opened) {
    this.#host = host;
    this.#name = basename(path);
    this.#sessions = sessions;
    this.capture = opened.capture;
    this.#hostInputs = opened.hostInputs;
    this.inputs = readSpecs(host.runtime, sessions[0]!, 'input');
    this.outputs = readSpecs(host.runtime, sessions[0]!, 'output');
    this.#inputNames = new NativeNames(this.inputs.map(({ name }) => name));
    this.#outputNames = new NativeNames(this.outputs.map(({ name }) => name));
  }

  /** While the lanes are all held. @throws OnepassError `startup` naming the file */
  static async load(host: DeviceHost, path: string, wanted: boolean): Promise<OnnxDeviceGraph> {
    const sessions: Address[] = [];
    try {
      return new OnnxDeviceGraph(host, path, sessions, await openSessions(host, path, wanted, sessions));
    } catch (error) {
      await releaseSessions(host, sessions);
      throw error instanceof OnepassError ? error : cannotLoad(path, host.faults.noticed(error));
    }
  }

  async prepare(
    dimensions: Dimensions,
    resident: Resident,
    warm: (inputs: HostArrays) => void = zeros,
    { capture: wanted = true }: PrepareOptions = {},
  ): Promise<PreparedRun> {
    const host = this.#host;
    const shapes = bindShapes(this.#name, this, dimensions, resident);
    const names = { inputNames: this.#inputNames, outputNames: this.#outputNames, hostInputs: this.#hostInputs };
    const capture = this.capture.on ? { capture: wanted ? ++host.captures : NOT_CAPTURED } : {};
    const binding: Binding = { graph: this.#name, ...shapes, ...names, resident, ...capture };
    const lanes: PreparedLane[] = [];
    return host.whole.alone(async () => {
      host.requireDevice();
      host.requireOpen(Object.values(resident));
      try {
        for (const [i, lane] of host.lanes.entries())
          lanes.push(await PreparedLane.make(host, lane, this.#sessions[i]!, binding));
        for (let run = 0; run < WARM_RUNS; run++) for (const lane of lanes) await warmUp(lane, warm);
      } catch (error) {
        for (const lane of lanes) lane.close();
        throw this.#cannotPrepare(dimensions, error);
      }
      const prepared = new OnnxPreparedRun(host, binding, lanes, () => this.#prepared.delete(prepared));
      this.#prepared.add(prepared);
      return prepared;
    });
  }

  /** While nothing runs any more. */
  async close(): Promise<void> {
    for (const prepared of [...this.#prepared]) prepared.close();
    await releaseSessions(this.#host, this.#sessions);
  }

  #cannotPrepare(dimensions: Dimensions, error: unknown): OnepassError {
    if (error instanceof OnepassError && error.kind !== 'startup') return error;
    const fault = this.#host.faults.noticed(error);
    if (fault.kind === 'lost') return this.#host.faults.runError(this.#name, fault);
    const what = `graph ${this.#name} cannot be prepared for ${describeDimensions(dimensions)} in ${this.#host.lanes.length} lanes`;
    const device = this.#host.driver.name;
    return startupError(
      fault.kind === 'memory' ? `${what}: ${device} has too little memory` : `${what}: ${fault.message}`,
      fault,
    );
  }
}

function zeros(inputs: HostArrays): void {
  for (const array of Object.values(inputs)) new Uint8Array(array.buffer, array.byteOffset, array.byteLength).fill(0);
}

async function warmUp(lane: PreparedLane, fill: (inputs: HostArrays) => void): Promise<void> {
  fill(lane.inputs);
  await lane.play();
}

/** How the sessions of a graph were opened. */
interface Opened {
  readonly capture: DeviceGraph['capture'];
  readonly hostInputs: ReadonlySet<string>;
}

/** Fills `sessions`, which on a failure holds those that were made. */
async function openSessions(host: DeviceHost, path: string, wanted: boolean, sessions: Address[]): Promise<Opened> {
  const { captureKey, name, sharedSessions } = host.driver;
  const open = async (capture: boolean) => {
    for (const lane of host.lanes)
      sessions.push(sharedSessions && sessions[0] ? sessions[0] : await openSession(host, lane, path, capture));
    return hostInputs(host, sessions[0]!);
  };
  const uncaptured = async (reason: string) => ({ capture: { on: false, reason }, hostInputs: await open(false) });
  if (captureKey === undefined) return uncaptured(`${name} captures no runs`);
  if (!wanted) return uncaptured('not captured, as asked');
  try {
    const seen = await open(true);
    // Such a node would see the numbers of the captured run for ever.
    if (seen.size > 0) throw new Error(`"${[...seen].join('", "')}" is read by a node on the CPU`);
    return { capture: { on: true, reason: 'runs are captured' }, hostInputs: seen };
  } catch (error) {
    const { message } = host.faults.noticed(error);
    await releaseSessions(host, sessions.splice(0));
    return uncaptured(`its runs cannot be captured: ${message}`);
  }
}

/** Inputs that the session wants in memory of the CPU, although its device has memory of its own. */
function hostInputs({ runtime, driver }: DeviceHost, session: Address): ReadonlySet<string> {
  if (!driver.ownMemory) return new Set();
  const specs = readSpecs(runtime, session, 'input');
  const infos = new BigUint64Array(Math.max(specs.length, 16));
  runtime.check(runtime.inputMemory(session, infos, specs.length));
  const device = new Int32Array(32);
  const onHost = specs.filter((_, i) => {
    runtime.memoryDevice(infos[i]!, device);
    return device[0] === HOST_MEMORY;
  });
  return new Set(onHost.map(({ name }) => name));
}

/** In the lane's thread: a load takes seconds. The file is read by path, so external data beside it is found. */
async function openSession(host: DeviceHost, lane: Lane, path: string, capture: boolean): Promise<Address> {
  const out = new Out();
  const names = [new NativeNames([path])];
  const options = lane.driver.sessionOptions(capture);
  try {
    await host.play(lane, [host.runtime.steps.createSession(names[0]!.at(0), options, out.address)]);
    return out.value;
  } finally {
    // Used down here, the name is not collected before.
    names.length = 0;
    host.runtime.releaseSessionOptions(options);
  }
}

/** Each in the lane that ran it: the thread holds what belongs to its runs. */
async function releaseSessions(host: DeviceHost, sessions: readonly Address[]): Promise<void> {
  for (const [i, session] of sessions.entries())
    if (sessions.indexOf(session) === i) await host.play(host.lanes[i]!, [host.runtime.steps.releaseSession(session)]);
}

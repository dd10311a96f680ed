import { basename } from 'node:path';
import { type OnepassError, startupError } from '@onepass/errors';
import { koffi } from '@onepass/shared-memory';
import { type DeviceFaults, messageOf } from './device/faults.js';
import type { AnyTensors, Graph, RunTerms, RunTiming, Tensor, TensorData } from './engine.js';
import type { Address, OnnxRuntime } from './onnxruntime.js';
import { abortReason, type RunQueue } from './run-queue.js';
import { checkTensors, type ElementType, type TensorSpec } from './tensors.js';
import { micros, TimedQueue } from './timed-queue.js';

/** What one run at a time needs on the native side, made once. */
export interface Lane {
  readonly runOptions: Address;
  /** Mapped: the addresses of the run's values, inputs first. */
  readonly values: BigUint64Array;
  readonly valuesAddress: Address;
  /** Keeps the tensors of the run under way from the collector: the native side knows only addresses, and dies on collected memory. */
  held: readonly [AnyTensors, AnyTensors] | undefined;
}

export const MAX_TENSORS = 512;
/** ONNXTensorElementDataType of the C API. */
export const ELEMENT_CODES = { float32: 1, int8: 3, int64: 7, float16: 10 } as const satisfies Readonly<
  Record<ElementType, number>
>;

/** Everything that graphs of one engine share. */
export interface GraphHost {
  readonly runtime: OnnxRuntime;
  readonly sessionOptions: Address;
  readonly queue: RunQueue;
  readonly faults: DeviceFaults;
  readonly lanes: readonly Lane[];
}

/** One session of ONNX Runtime. */
export class OnnxGraph implements Graph {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly #host: GraphHost;
  readonly #session: Address;
  readonly #name: string;
  readonly #inputSpecs: readonly TensorSpec[];
  readonly #outputSpecs: readonly TensorSpec[];
  readonly #inputNames: NativeNames;
  readonly #outputNames: NativeNames;
  /** Scratch for the shape of the tensor being made. */
  readonly #shape = new BigInt64Array(16);
  readonly #queue: TimedQueue;

  private constructor(host: GraphHost, path: string, session: Address) {
    this.#host = host;
    this.#queue = new TimedQueue(host.queue);
    this.#session = session;
    this.#name = basename(path);
    this.#inputSpecs = readSpecs(host.runtime, session, 'input');
    this.#outputSpecs = readSpecs(host.runtime, session, 'output');
    if (this.#inputSpecs.length + this.#outputSpecs.length > MAX_TENSORS)
      throw new Error(`it has more than ${MAX_TENSORS} tensors`);
    this.inputs = this.#inputSpecs.map((spec) => spec.name);
    this.outputs = this.#outputSpecs.map((spec) => spec.name);
    this.#inputNames = new NativeNames(this.inputs);
    this.#outputNames = new NativeNames(this.outputs);
  }

  /** Off the event loop. The file is read by path, so external data beside it is found. @throws OnepassError `startup`. */
  static async load(host: GraphHost, path: string): Promise<OnnxGraph> {
    const { runtime } = host;
    const out = new BigUint64Array(1);
    try {
      await new Promise<void>((resolve, reject) => {
        runtime.createSession.async(runtime.env, path, host.sessionOptions, out, settle(runtime, resolve, reject));
      });
    } catch (error) {
      throw cannotLoad(path, error);
    }
    try {
      return new OnnxGraph(host, path, out[0]!);
    } catch (error) {
      runtime.releaseSession(out[0]!);
      throw cannotLoad(path, error);
    }
  }

  async run(inputs: AnyTensors, outputs: AnyTensors, terms: RunTerms = {}): Promise<RunTiming> {
    checkTensors(this.#name, [this.#inputSpecs, inputs], [this.#outputSpecs, outputs]);
    return this.#queue.schedule(async (lane, queueMicros) => {
      const started = performance.now();
      await this.#runNow(this.#host.lanes[lane]!, [inputs, outputs], terms.signal);
      return { queueMicros, runMicros: micros(performance.now() - started) };
    }, terms);
  }

  release(): void {
    this.#host.runtime.releaseSession(this.#session);
  }

  async #runNow(
    lane: Lane,
    tensors: readonly [AnyTensors, AnyTensors],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { runtime } = this.#host;
    const terminate = () => runtime.setTerminate(lane.runOptions);
    let values = 0;
    lane.held = tensors;
    try {
      for (const spec of this.#inputSpecs) this.#makeValue(lane, values++, spec, tensors[0][spec.name]!);
      for (const spec of this.#outputSpecs) this.#makeValue(lane, values++, spec, tensors[1][spec.name]!);
      signal?.addEventListener('abort', terminate, { once: true });
      await this.#call(lane);
    } catch (error) {
      const failure = this.#host.faults.runError(this.#name, error);
      throw signal?.aborted ? abortReason(signal) : failure;
    } finally {
      signal?.removeEventListener('abort', terminate);
      if (signal?.aborted) runtime.unsetTerminate(lane.runOptions);
      for (const value of lane.values.subarray(0, values)) if (value !== 0n) runtime.releaseValue(value);
      lane.held = undefined;
    }
  }

  #call(lane: Lane): Promise<void> {
    const { runtime } = this.#host;
    const [inputs, outputs] = [this.#inputSpecs.length, this.#outputSpecs.length];
    const outputsAddress = lane.valuesAddress + BigInt(inputs * BigUint64Array.BYTES_PER_ELEMENT);
    return new Promise((resolve, reject) => {
      runtime.run.async(
        this.#session,
        lane.runOptions,
        this.#inputNames.address,
        lane.valuesAddress,
        inputs,
        this.#outputNames.address,
        outputs,
        outputsAddress,
        settle(runtime, resolve, reject),
      );
    });
  }

  #makeValue(lane: Lane, index: number, { element }: TensorSpec, tensor: Tensor<TensorData>): void {
    const { runtime } = this.#host;
    const shape = this.#shape;
    for (let i = 0; i < tensor.shape.length; i++) shape[i] = BigInt(tensor.shape[i]!);
    // An empty array has no address; any address will do for no numbers.
    const data = tensor.data.length === 0 ? lane.valuesAddress : tensor.data;
    const type = ELEMENT_CODES[element ?? 'float32'];
    const out = lane.valuesAddress + BigInt(index * BigUint64Array.BYTES_PER_ELEMENT);
    lane.values[index] = 0n;
    runtime.check(
      runtime.createTensor(runtime.cpuMemory, data, tensor.data.byteLength, shape, tensor.shape.length, type, out),
    );
  }
}

/** Names as the native side wants them: an array of addresses of C strings. Lives as long as this object. */
export class NativeNames {
  /** Of the array. */
  readonly address: Address;
  readonly #strings: Buffer;
  readonly #pointers: BigUint64Array;

  constructor(names: readonly string[]) {
    this.#strings = Buffer.from(names.map((name) => `${name}\0`).join(''));
    // 64 bytes and less may lie inside JavaScript's heap, which moves.
    this.#pointers = new BigUint64Array(Math.max(names.length, 16));
    let at = koffi.address(this.#strings);
    for (const [i, name] of names.entries()) {
      this.#pointers[i] = at;
      at += BigInt(Buffer.byteLength(name) + 1);
    }
    this.address = koffi.address(this.#pointers);
  }

  /** Address of one name. */
  at(index: number): Address {
    return this.#pointers[index]!;
  }
}

export function readSpecs(runtime: OnnxRuntime, session: Address, side: 'input' | 'output'): TensorSpec[] {
  const [countOf, nameOf, typeOf] =
    side === 'input'
      ? ([runtime.inputCount, runtime.inputName, runtime.inputTypeInfo] as const)
      : ([runtime.outputCount, runtime.outputName, runtime.outputTypeInfo] as const);
  const out = new BigUint64Array(1);
  runtime.check(countOf(session, out));
  return Array.from({ length: Number(out[0]) }, (_, index) => {
    runtime.check(nameOf(session, index, runtime.allocator, out));
    const name = koffi.decode.string(out[0]);
    runtime.check(runtime.allocatorFree(runtime.allocator, out[0]!));
    runtime.check(typeOf(session, index, out));
    const typeInfo = out[0]!;
    try {
      return { name, ...readType(runtime, typeInfo, `${side} "${name}"`) };
    } finally {
      runtime.releaseTypeInfo(typeInfo);
    }
  });
}

/** @throws Error on an element type that no array stands for */
function readType(runtime: OnnxRuntime, typeInfo: Address, what: string): Omit<TensorSpec, 'name'> {
  const out = new BigUint64Array(1);
  const read = (call: (out: BigUint64Array) => Address | null): bigint => {
    out[0] = 0n;
    runtime.check(call(out));
    return out[0]!;
  };
  const info = read((o) => runtime.tensorInfo(typeInfo, o));
  const code = info === 0n ? 0n : read((o) => runtime.elementType(info, o));
  const elements = Object.entries(ELEMENT_CODES) as [ElementType, number][];
  const element = elements.find(([, known]) => BigInt(known) === code)?.[0];
  if (element === undefined) throw new Error(`${what} is not a float32, float16, int8 or int64 tensor`);
  const rank = Number(read((o) => runtime.dimensionCount(info, o)));
  const fixed = new BigInt64Array(Math.max(rank, 1));
  const named = new BigUint64Array(Math.max(rank, 1));
  runtime.check(runtime.dimensions(info, fixed, rank));
  runtime.check(runtime.symbolicDimensions(info, named, rank));
  const shape = Array.from({ length: rank }, (_, i) =>
    fixed[i]! >= 0n ? Number(fixed[i]) : koffi.decode.string(named[i]),
  );
  return { element, shape };
}

function settle(runtime: OnnxRuntime, resolve: () => void, reject: (reason: unknown) => void) {
  return (error: unknown, status: Address | null): void => {
    try {
      if (error) throw error;
      runtime.check(status);
      resolve();
    } catch (reason) {
      reject(reason);
    }
  };
}

export function cannotLoad(path: string, error: unknown): OnepassError {
  return startupError(`graph "${path}" cannot be loaded: ${messageOf(error)}`, error);
}

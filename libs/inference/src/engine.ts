import type { Priority } from '@onepass/admission';
import type { BufferPool } from './buffers.js';

/** How a graph's numbers lie in memory: float16 as its bits in 16-bit words, float32, int8 and int64 as they are. */
export type TensorData = Float32Array | Uint16Array | Int8Array | BigInt64Array;

/**
 * Numbers for or from a graph, of the element type that the graph declares, row-major. `data` must have exactly the product of `shape`
 * and stays where it is: the graph reads and writes it in place. Nothing may touch it until the run has returned.
 */
export interface Tensor<D extends TensorData = Float32Array> {
  readonly data: D;
  readonly shape: readonly number[];
}

/** Of float32, as nearly all graphs have them. */
export type Tensors = Readonly<Record<string, Tensor>>;
/** Of any element type that graphs may have here. */
export type AnyTensors = Readonly<Record<string, Tensor<TensorData>>>;

/** Microseconds that a run waited for its turn, and that it took. */
export interface RunTiming {
  readonly queueMicros: number;
  readonly runMicros: number;
}

/** When a run is given up. */
export interface RunTerms {
  readonly signal?: AbortSignal | undefined;
  /** Epoch ms. A run that would have to wait and is not likely to be done by then is refused at once. */
  readonly deadlineMs?: number | undefined;
  /** Absent = interactive. */
  readonly priority?: Priority | undefined;
}

/** One loaded graph; its runs share one session, from any number of callers at once. */
export interface Graph {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /**
   * Runs without blocking the event loop, by priority and in order of asking. All inputs and all outputs must be given, outputs preallocated.
   * `signal`: aborted while queued, rejects at once and never runs; aborted while running, stops at the next operator and rejects
   * when the native side has let go of the tensors.
   * @throws OnepassError the signal's reason (`cancelled` when that is not one of ours), `overloaded`, or `internal` whose cause says
   * which tensor is wrong or what ONNX Runtime said.
   */
  run(inputs: AnyTensors, outputs: AnyTensors, terms?: RunTerms): Promise<RunTiming>;
}

/** Where graphs run. */
export type DeviceName = 'cpu' | `cuda:${number}`;

export interface InferenceEngine {
  /** Where graphs run; by a CUDA device their inputs and outputs are copied there and back. */
  readonly provider: DeviceName;
  /** One sentence on how the provider was chosen, for the log. */
  readonly providerReason: string;
  /** Buffers that a graph may read and write in place. */
  readonly buffers: BufferPool;
  /** Runs that wait for their turn. */
  readonly queued: number;
  /** Runs that are under way. */
  readonly running: number;
  /** Runs that began so far. */
  readonly started: number;
  /** @throws OnepassError `startup` naming the file. External data is looked for beside it. */
  load(path: string): Promise<Graph>;
  /** Waits for the runs under way and queued, then gives everything back. Buffers must not be used afterwards. */
  close(): Promise<void>;
}

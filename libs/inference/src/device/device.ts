import type { DeviceName, RunTerms, RunTiming, TensorData } from '../engine.js';
import type { TensorSpec } from '../tensors.js';

/** Numbers of one input or output in host memory, row-major, of the element type that the graph declares. */
export type HostArray = TensorData;
export type HostArrays = Readonly<Record<string, HostArray>>;

/** Memory of the device that stays where it is until `close`. The host cannot look into it. */
export interface DeviceBuffer {
  readonly bytes: number;
  /** Address on the device. */
  readonly address: bigint;
  /** A second call does nothing. Not while a run that is bound to it is under way; one that comes after is refused. */
  close(): void;
}

/** Bytes `from` to `to` of a buffer. */
export interface DevicePart {
  readonly buffer: DeviceBuffer;
  readonly from: number;
  readonly to: number;
}

/** Values of a graph's named dimensions; 0 allowed. */
export type Dimensions = Readonly<Record<string, number>>;

/** Device memory that inputs and outputs are bound to, by their names. */
export type Resident = Readonly<Record<string, DeviceBuffer>>;

/** One graph bound to one set of shapes. */
export interface PreparedRun {
  /** As a graph of the device, which is given back with the session of its graph only, not by `close`. */
  readonly isCaptured: boolean;
  /** Device memory that it has taken, beside what is resident and what the sessions work in, over all lanes. */
  readonly bytes: number;
  /**
   * `fill` writes the inputs that are not resident, all of them, in memory that is reused and full of an earlier run's numbers; `read` takes what it
   * needs of the outputs that are not resident. Both are called while no other run can touch that memory, `fill` when the run's turn has come;
   * neither may keep the arrays.
   * A run under way that is cancelled stops at the next operator. One that is captured cannot be stopped: it ends, and then its promise is rejected.
   * @throws OnepassError as `Graph.run` does, `overloaded` too when the device has no memory left for this run, `unavailable` when the device is
   * lost; what `fill` throws, in which case nothing has run; what `read` throws
   */
  run<T>(
    fill: (inputs: HostArrays) => void,
    read: (outputs: HostArrays) => T,
    terms?: RunTerms,
  ): Promise<{ readonly value: T; readonly timing: DeviceRunTiming }>;
  /** Gives its buffers back, in all lanes. Only when none of its runs is queued or under way; a second call does nothing. */
  close(): void;
}

export interface DeviceRunTiming extends RunTiming {
  /** That the lane's thread was busy with it: copies in, run, copies out. `runMicros` has `fill`, `read` and the way to the thread too. */
  readonly deviceMicros: number;
}

export interface PrepareOptions {
  /** Absent = where the graph's runs are. */
  readonly capture?: boolean;
}

/** One graph, loaded once in every lane; where the device is the CPU, the lanes share it. */
export interface DeviceGraph {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Whether prepared runs are captured, and else why not. */
  readonly capture: { readonly on: boolean; readonly reason: string };
  /**
   * Binds every named dimension to a value, and the `resident` inputs and outputs to memory of the device, which several graphs may share and where an
   * output may be an input's own memory. All other tensors get buffers of their own. Runs it until it is warm, while no other run is under way; where
   * the device has graphs of its own (CUDA), the run is captured.
   * @param warm fills the inputs of the warm-up runs (absent = zeros). These write to resident outputs as any run does: say here where that does no harm
   * @throws OnepassError `startup` naming graph and shape, when the device has not enough memory (`isOutOfMemory`) or the shape does not run: nothing stays taken;
   * `internal` on a dimension or a resident tensor that does not fit the graph
   */
  prepare(
    dimensions: Dimensions,
    resident: Resident,
    warm?: (inputs: HostArrays) => void,
    options?: PrepareOptions,
  ): Promise<PreparedRun>;
}

export interface DeviceMemoryUse {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** A device with as many lanes as runs may be under way at one time, each with a thread, a stream and sessions of its own. */
export interface DeviceEngine {
  readonly device: DeviceName;
  /** One sentence on how the device was chosen, for the log. */
  readonly reason: string;
  readonly lanes: number;
  /** Runs that wait for their turn, are under way, and began so far. */
  readonly queued: number;
  readonly running: number;
  readonly started: number;
  /** Of the whole device, whoever uses it. */
  memory(): DeviceMemoryUse;
  /** Zeros. @throws OnepassError `startup` when the device has not so much memory */
  allocate(bytes: number): Promise<DeviceBuffer>;
  /** Zeros, when all runs under way are done and before any later one: all parts for the price of one wait. */
  clear(parts: readonly DevicePart[]): Promise<void>;
  /** Copies from and to host memory, from byte `at` of the buffer; for measurements, tests, and KV that comes back from a tier. */
  write(buffer: DeviceBuffer, at: number, data: HostArray): Promise<void>;
  read(buffer: DeviceBuffer, at: number, data: HostArray): Promise<void>;
  /** @param options.capture absent = where the device can. @throws OnepassError `startup` naming the file */
  load(path: string, options?: { readonly capture?: boolean }): Promise<DeviceGraph>;
  /** Waits for the runs under way and queued, then gives everything back, what is still open too. */
  close(): Promise<void>;
}

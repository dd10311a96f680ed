import type { RunTerms, RunTiming } from '../engine.js';
import type { TensorSpec } from '../tensors.js';

/** Where graphs run and their resident memory lies. */
export type DeviceName = 'cpu' | `cuda:${number}`;

/** Numbers of one input or output in host memory, row-major, of the element type that the graph declares. */
export type HostArray = Float32Array | Uint16Array | Int8Array | BigInt64Array;
export type HostArrays = Readonly<Record<string, HostArray>>;

/** Memory of the device that stays where it is until `close`. The host cannot look into it. */
export interface DeviceBuffer {
  readonly bytes: number;
  /** Address on the device. */
  readonly address: bigint;
  close(): void;
}

/** Values of a graph's named dimensions. */
export type Dimensions = Readonly<Record<string, number>>;

/** One graph bound to one set of shapes. */
export interface PreparedRun {
  /** Device memory that it has taken, beside what is resident, over all lanes. */
  readonly bytes: number;
  /**
   * `fill` writes the inputs that are not resident, all of them, in memory that is reused and full of an earlier run's numbers; `read` takes what it needs of the outputs that are
   * not resident. Both are called while no other run can touch that memory, `fill` when the run's turn has come.
   * @throws OnepassError as `Graph.run` does; what `fill` throws, in which case nothing has run
   */
  run<T>(
    fill: (inputs: HostArrays) => void,
    read: (outputs: HostArrays) => T,
    terms?: RunTerms,
  ): Promise<{ readonly value: T; readonly timing: DeviceRunTiming }>;
}

export interface DeviceRunTiming extends RunTiming {
  /** Microseconds on the device, copies included; as long as the call took where the device is the CPU. */
  readonly deviceMicros: number;
}

/** One graph, loaded once in every lane. */
export interface DeviceGraph {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /**
   * Binds every named dimension to a value, and the `resident` inputs and outputs to memory of the device, which several graphs may share and where an output may be an input's
   * own memory. All other tensors get buffers of their own. Runs it on zeros until it is warm; where the device has graphs of its own (CUDA), the run is captured.
   * @throws OnepassError `startup` when the device has not so much memory, naming the graph and the shape
   */
  prepare(dimensions: Dimensions, resident: Readonly<Record<string, DeviceBuffer>>): Promise<PreparedRun>;
}

export interface DeviceMemoryUse {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** A device with as many lanes as runs may be under way at one time, each with a stream and sessions of its own. */
export interface DeviceEngine {
  readonly device: DeviceName;
  /** One sentence on how the device was chosen, for the log. */
  readonly reason: string;
  /** Of the whole device, whoever uses it. */
  memory(): DeviceMemoryUse;
  /** Zeros. @throws OnepassError `startup` when the device has not so much memory */
  allocate(bytes: number): DeviceBuffer;
  /** Sets bytes `from` to `to` to zero, behind all runs under way. */
  clear(buffer: DeviceBuffer, from: number, to: number): Promise<void>;
  /** Copies from host memory; for measurements, and for KV that comes back from a tier. */
  write(buffer: DeviceBuffer, at: number, data: HostArray): Promise<void>;
  read(buffer: DeviceBuffer, at: number, data: HostArray): Promise<void>;
  /** @throws OnepassError `startup` naming the file */
  load(path: string, options?: { readonly capture?: boolean }): Promise<DeviceGraph>;
  close(): Promise<void>;
}

import type { DeviceName } from '../engine.js';
import type { Address } from '../onnxruntime.js';
import type { DeviceMemoryUse } from './device.js';
import type { Step } from './step.js';

/** One buffer of Node 20 is over at most so much: a larger one ends the process. */
export const MOST_HOST_BYTES = 2 ** 32;

/** Memory that a lane fills, or reads, on the host and a graph reads, or fills, on the device. */
export interface Pair {
  readonly host: ArrayBuffer;
  readonly hostAddress: Address;
  /** Address on the device; the very memory of `host` where the device is the CPU. */
  readonly device: Address;
  /** Copies all of it from host to device, and back. None where it is the same memory. */
  readonly copyIn: readonly Step[];
  readonly copyOut: readonly Step[];
  close(): void;
}

/** What one lane has of a device: a stream, in which all its steps are done in order. */
export interface LaneDriver {
  /** Played before all others in the lane's thread. */
  readonly start: readonly Step[];
  /** Waits until the device has done all steps before; done even when one of them failed. */
  readonly finish: readonly Step[];
  /** Options of a session that runs in this lane; the caller releases them. */
  sessionOptions(capture: boolean): Address;
  /** @throws Error of the device, when it has not so much memory */
  pair(bytes: number): Pair;
  copy(direction: 'in' | 'out', to: Address, from: Address, bytes: number): Step;
  zero(address: Address, bytes: number): Step;
  close(): void;
}

/** A kind of device. Its own calls are made in the main thread. */
export interface Driver {
  readonly name: DeviceName;
  /** OrtMemoryInfo of its memory. */
  readonly memoryInfo: Address;
  /** Whether its memory is another than the host's. */
  readonly ownMemory: boolean;
  /** Whether lanes share a session; else each has its own. */
  readonly sharedSessions: boolean;
  /** Options of a run, by ONNX Runtime's names. @param isCaptured whether runs of its session are */
  runConfig(isCaptured: boolean): Readonly<Record<string, string>>;
  /** The name of the run option that says under which number a run is captured; absent where the device captures nothing. */
  readonly captureKey?: string;
  memory(): DeviceMemoryUse;
  /** Zeros. @throws Error of the device, when it has not so much memory */
  allocate(bytes: number): Address;
  free(address: Address): void;
  openLane(): LaneDriver;
  /** What a step's error code means. */
  describe(code: number): string;
  close(): void;
}

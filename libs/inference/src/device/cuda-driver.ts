import { koffi } from '@onepass/shared-memory';
import { type Address, DEFAULT_MEMORY, DEVICE_ALLOCATOR, type OnnxRuntime } from '../onnxruntime.js';
import { type CudaOptions, makeSessionOptions } from '../session-options.js';
import {
  CAPTURE_MODE_RELAXED,
  type CudaRuntime,
  DEVICE_TO_HOST,
  HOST_TO_DEVICE,
  SCHEDULE_BLOCKING_SYNC,
  SCHEDULE_SPIN,
  STREAM_NON_BLOCKING,
} from './cuda-runtime.js';
import type { Driver, LaneDriver, Pair } from './driver.js';

export interface CudaDriverOptions {
  readonly device: number;
  /** Threads of what runs on the CPU. */
  readonly threads: number;
  readonly arenaBytes?: number | undefined;
  /** Lanes that wait spin. */
  readonly spin?: boolean | undefined;
}

/**
 * A CUDA device. Copies go through pinned memory in the lane's own stream, in which the provider computes too, so that all steps of a lane are done in order
 * and one wait is enough. @throws Error with the runtime's sentence
 */
export function cudaDriver(runtime: OnnxRuntime, cuda: CudaRuntime, options: CudaDriverOptions): Driver {
  const cells = new BigUint64Array(16);
  // Each thread has one current device, and this one may have been given another's by whoever else uses CUDA in the process.
  const enter = () => cuda.check(cuda.setDevice(options.device));
  const make = (call: (out: BigUint64Array) => number): Address => {
    enter();
    cuda.check(call(cells));
    return cells[0]!;
  };
  enter();
  cuda.check(cuda.setDeviceFlags(options.spin ? SCHEDULE_SPIN : SCHEDULE_BLOCKING_SYNC));
  cuda.check(cuda.exchangeCaptureMode(relaxed()));
  const own = make((out) => cuda.streamCreate(out, STREAM_NON_BLOCKING));
  runtime.check(runtime.createMemoryInfo('Cuda', DEVICE_ALLOCATOR, options.device, DEFAULT_MEMORY, cells));
  const memoryInfo = cells[0]!;

  const allocate = (bytes: number): Address => {
    // An address even for no bytes.
    const size = Math.max(bytes, 1);
    const address = make((out) => cuda.malloc(out, size));
    cuda.check(cuda.memset(address, 0, size, own));
    cuda.check(cuda.streamSynchronize(own));
    return address;
  };
  const free = (address: Address): void => {
    // What a lost device does not take back is gone with the process.
    cuda.free(address);
  };
  return {
    name: `cuda:${options.device}`,
    memoryInfo,
    ownMemory: true,
    sharedSessions: false,
    // The lane waits for its stream itself, when the copies back are under way too. Without that option a run gives back the pinned memory from which it copied: of
    // a captured one it must stay, since replays copy from it again; with it a run that is not captured leaves more of it taken each time. What a run gives back is
    // all of its session: where some are captured, others have the option too.
    runConfig: (isCaptured) => (isCaptured ? { disable_synchronize_execution_providers: '1' } : {}),
    captureKey: 'gpu_graph_id',
    memory: () => {
      const [free, total] = [new BigUint64Array(16), new BigUint64Array(16)];
      enter();
      cuda.check(cuda.memoryInfo(free, total));
      return { freeBytes: Number(free[0]), totalBytes: Number(total[0]) };
    },
    allocate,
    free,
    openLane: () => {
      const stream = make((out) => cuda.streamCreate(out, STREAM_NON_BLOCKING));
      const pairParts = { cuda, stream, allocate, free, make };
      return cudaLane(runtime, options, pairParts);
    },
    describe: cuda.describe,
    close: () => {
      cuda.streamDestroy(own);
      runtime.releaseMemoryInfo(memoryInfo);
    },
  };
}

interface PairParts {
  readonly cuda: CudaRuntime;
  readonly stream: Address;
  allocate(bytes: number): Address;
  free(address: Address): void;
  make(call: (out: BigUint64Array) => number): Address;
}

function cudaLane(runtime: OnnxRuntime, options: CudaDriverOptions, parts: PairParts): LaneDriver {
  const { cuda, stream } = parts;
  // ONNX Runtime may ask for pinned memory while it captures: what host copies of a captured run read is kept.
  const mode = relaxed();
  return {
    start: [cuda.steps.setDevice(options.device), cuda.steps.exchangeCaptureMode(koffi.address(mode))],
    finish: [cuda.steps.synchronize(stream), cuda.steps.forgetError()],
    sessionOptions: (capture) =>
      makeSessionOptions(runtime, options.threads, providerOptions(options, stream, capture)),
    pair: (bytes) => makePair(parts, bytes),
    copy: (direction, to, from, bytes) =>
      cuda.steps.copy(to, from, bytes, direction === 'in' ? HOST_TO_DEVICE : DEVICE_TO_HOST, stream),
    zero: (address, bytes) => cuda.steps.memset(address, 0, bytes, stream),
    close: () => {
      cuda.streamDestroy(stream);
      mode.fill(0);
    },
  };
}

/** Large enough to lie off the heap, where it does not move. */
const relaxed = () => Int32Array.from({ length: 32 }, () => CAPTURE_MODE_RELAXED);

/** Options of the provider for a session whose runs all go to `stream`. */
export function providerOptions(options: CudaDriverOptions, stream: Address, capture: boolean): CudaOptions {
  return {
    stream,
    options: {
      device_id: String(options.device),
      do_copy_in_default_stream: '1',
      enable_cuda_graph: capture ? '1' : '0',
      // What is asked for and no power of two: what a session works in is the same from run to run.
      arena_extend_strategy: 'kSameAsRequested',
      ...(options.arenaBytes !== undefined && { gpu_mem_limit: String(options.arenaBytes) }),
    },
  };
}

function makePair({ cuda, stream, allocate, free, make }: PairParts, bytes: number): Pair {
  const host = make((out) => cuda.hostAlloc(out, Math.max(bytes, 1), 0));
  let device: Address;
  try {
    device = allocate(bytes);
  } catch (error) {
    cuda.freeHost(host);
    throw error;
  }
  return {
    host: koffi.view(host, Math.max(bytes, 1)),
    hostAddress: host,
    device,
    copyIn: bytes === 0 ? [] : [cuda.steps.copy(device, host, bytes, HOST_TO_DEVICE, stream)],
    copyOut: bytes === 0 ? [] : [cuda.steps.copy(host, device, bytes, DEVICE_TO_HOST, stream)],
    close: () => {
      free(device);
      cuda.freeHost(host);
    },
  };
}

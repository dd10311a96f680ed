import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type LibraryHandle, loadLibrary } from '@onepass/shared-memory';
import type { Address } from '../onnxruntime.js';
import type { Step } from './step.js';

/** cudaError_t; 0 when the call went well. */
type Code = number;
type Cells = BigUint64Array | Int32Array;

/** Of CUDA 13, which ONNX Runtime's CUDA build is made for. */
const NAME = 'libcudart.so.13';
export const HOST_TO_DEVICE = 1;
export const DEVICE_TO_HOST = 2;
/** How threads wait for the device, of cudaSetDeviceFlags: they spin, or they sleep. */
export const SCHEDULE_SPIN = 1;
export const SCHEDULE_BLOCKING_SYNC = 4;
/** A stream that does not wait for the legacy stream. */
export const STREAM_NON_BLOCKING = 1;
/** Of cudaStreamCaptureMode: captures, its own and those of other threads, do not forbid a thread to allocate. */
export const CAPTURE_MODE_RELAXED = 2;

/** The part of the CUDA runtime that is used here (cuda_runtime_api.h). */
export interface CudaRuntime {
  readonly libraryPath: string;
  /** @throws Error with the runtime's sentence, in which the code stands as `CUDA failure 2: ...` */
  check(code: Code): void;
  describe(code: Code): string;
  readonly deviceCount: (count: Int32Array) => Code;
  readonly setDevice: (device: number) => Code;
  readonly setDeviceFlags: (flags: number) => Code;
  readonly exchangeCaptureMode: (mode: Int32Array) => Code;
  readonly memoryInfo: (free: BigUint64Array, total: BigUint64Array) => Code;
  readonly malloc: (out: Cells, bytes: number) => Code;
  readonly free: (address: Address) => Code;
  readonly hostAlloc: (out: Cells, bytes: number, flags: number) => Code;
  readonly freeHost: (address: Address) => Code;
  readonly memset: (address: Address, value: number, bytes: number, stream: Address) => Code;
  readonly streamCreate: (out: Cells, flags: number) => Code;
  readonly streamDestroy: (stream: Address) => Code;
  readonly streamSynchronize: (stream: Address) => Code;
  /** Calls for a lane's thread. */
  readonly steps: {
    setDevice(device: number): Step;
    /** @param mode of an Int32Array that lives as long as the thread: the thread's mode from now on */
    exchangeCaptureMode(mode: Address): Step;
    copy(to: Address, from: Address, bytes: number, kind: number, stream: Address): Step;
    memset(address: Address, value: number, bytes: number, stream: Address): Step;
    /** These two are done whatever failed before: nothing of a failed play may be left in the stream, nor in the thread. */
    synchronize(stream: Address): Step;
    /** Forgets an error that was seen already: the next who asks would take it for its own. */
    forgetError(): Step;
  };
}

/** @param directory looked into before the system's. @throws Error, a clause of a sentence */
export function loadCudaRuntime(directory: string): CudaRuntime {
  const beside = join(directory, NAME);
  const libraryPath = existsSync(beside) ? beside : NAME;
  const library = tryLoad(libraryPath);
  if (library !== undefined) return bind(library, libraryPath);
  throw new Error(`${NAME} (CUDA 13) cannot be loaded, from "${directory}" or where the system looks`);
}

function tryLoad(libraryPath: string): LibraryHandle | undefined {
  try {
    return loadLibrary(libraryPath);
  } catch {
    return undefined;
  }
}

function bind(library: LibraryHandle, libraryPath: string): CudaRuntime {
  const P = 'void*';
  const code = <F>(name: string, parameters: string[]): F => library.func(name, 'int', parameters) as F;
  const errorName = library.func('cudaGetErrorName', 'const char*', ['int']) as (code: Code) => string;
  const errorString = library.func('cudaGetErrorString', 'const char*', ['int']) as (code: Code) => string;
  const describe = (error: Code) => `CUDA failure ${error}: ${errorString(error)} (${errorName(error)})`;
  const step = (name: string, signature: string) => {
    const call = library.symbol(name) as Address;
    return (...args: (Address | number)[]): Step => ({ call, signature, args });
  };
  const always =
    (make: (...args: (Address | number)[]) => Step) =>
    (...args: (Address | number)[]): Step => ({ ...make(...args), always: true });
  return {
    libraryPath,
    describe,
    check: (error) => {
      if (error !== 0) throw new Error(describe(error));
    },
    deviceCount: code('cudaGetDeviceCount', [P]),
    setDevice: code('cudaSetDevice', ['int']),
    setDeviceFlags: code('cudaSetDeviceFlags', ['uint32_t']),
    exchangeCaptureMode: code('cudaThreadExchangeStreamCaptureMode', [P]),
    memoryInfo: code('cudaMemGetInfo', [P, P]),
    malloc: code('cudaMalloc', [P, 'size_t']),
    free: code('cudaFree', [P]),
    hostAlloc: code('cudaHostAlloc', [P, 'size_t', 'uint32_t']),
    freeHost: code('cudaFreeHost', [P]),
    memset: code('cudaMemsetAsync', [P, 'int', 'size_t', P]),
    streamCreate: code('cudaStreamCreateWithFlags', [P, 'uint32_t']),
    streamDestroy: code('cudaStreamDestroy', [P]),
    streamSynchronize: code('cudaStreamSynchronize', [P]),
    steps: {
      setDevice: step('cudaSetDevice', 'ci'),
      exchangeCaptureMode: step('cudaThreadExchangeStreamCaptureMode', 'cp'),
      copy: step('cudaMemcpyAsync', 'cppzip'),
      memset: step('cudaMemsetAsync', 'cpizp'),
      synchronize: always(step('cudaStreamSynchronize', 'cp')),
      forgetError: always(step('cudaGetLastError', 'v')),
    },
  };
}

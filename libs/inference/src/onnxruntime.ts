import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { startupError } from '@onepass/errors';
import { koffi, type LibraryHandle, loadLibrary } from '@onepass/shared-memory';
import type { Step } from './device/step.js';

/** An address on the native side; 0 is null. */
export type Address = bigint;

type Native<A extends unknown[], R> = ((...args: A) => R) & {
  async(...args: [...A, (error: unknown, result: R) => void]): void;
};
/** Null when the call went well. */
type Status = Address | null;
type Bytes = BigUint64Array | BigInt64Array | Float32Array | Uint16Array | Int8Array | Address;

// The table of functions of this version: positions in struct OrtApi never change, later versions only append.
const API_VERSION = 23;

/**
 * The part of ONNX Runtime's C API that is used here, as synchronous and asynchronous calls. Values made by the native side come
 * back through an array of addresses (`out`).
 */
export interface OnnxRuntime {
  readonly libraryPath: string;
  readonly env: Address;
  readonly cpuMemory: Address;
  readonly allocator: Address;
  /** As built: a provider may be listed and its own library be missing. */
  readonly availableProviders: readonly string[];
  /** Throws an Error with the native side's sentence when `status` is one. */
  check(status: Status): void;
  readonly createSession: Native<[env: Address, path: string, options: Address, out: BigUint64Array], Status>;
  readonly run: Native<
    [
      session: Address,
      options: Address,
      inputNames: Address,
      inputs: Bytes,
      inputCount: number,
      outputNames: Address,
      outputCount: number,
      outputs: Bytes,
    ],
    Status
  >;
  readonly createSessionOptions: (out: BigUint64Array) => Status;
  readonly setIntraOpThreads: (options: Address, threads: number) => Status;
  readonly setInterOpThreads: (options: Address, threads: number) => Status;
  readonly setLogSeverity: (options: Address, level: number) => Status;
  readonly addSessionConfig: (options: Address, key: string, value: string) => Status;
  readonly inputCount: (session: Address, out: BigUint64Array) => Status;
  readonly outputCount: (session: Address, out: BigUint64Array) => Status;
  readonly inputTypeInfo: (session: Address, index: number, out: BigUint64Array) => Status;
  readonly outputTypeInfo: (session: Address, index: number, out: BigUint64Array) => Status;
  readonly inputName: (session: Address, index: number, allocator: Address, out: BigUint64Array) => Status;
  readonly outputName: (session: Address, index: number, allocator: Address, out: BigUint64Array) => Status;
  readonly allocatorFree: (allocator: Address, memory: Address) => Status;
  readonly tensorInfo: (typeInfo: Address, out: BigUint64Array) => Status;
  readonly elementType: (tensorInfo: Address, out: BigUint64Array) => Status;
  readonly dimensionCount: (tensorInfo: Address, out: BigUint64Array) => Status;
  readonly dimensions: (tensorInfo: Address, out: BigInt64Array, count: number) => Status;
  readonly symbolicDimensions: (tensorInfo: Address, out: BigUint64Array, count: number) => Status;
  readonly createRunOptions: (out: BigUint64Array) => Status;
  readonly setTerminate: (runOptions: Address) => Status;
  readonly unsetTerminate: (runOptions: Address) => Status;
  readonly createTensor: (
    memory: Address,
    data: Bytes,
    bytes: number,
    shape: BigInt64Array,
    rank: number,
    elementType: number,
    out: Address,
  ) => Status;
  readonly createMemoryInfo: (
    name: string,
    allocator: number,
    device: number,
    kind: number,
    out: BigUint64Array,
  ) => Status;
  /** Where a session wants its inputs: addresses of one OrtMemoryInfo each, which stay the session's. */
  readonly inputMemory: (session: Address, infos: BigUint64Array, count: number) => Status;
  /** `HOST_MEMORY`, or another device's. */
  readonly memoryDevice: (memoryInfo: Address, out: Int32Array) => void;
  readonly createBinding: (session: Address, out: BigUint64Array) => Status;
  readonly addRunConfig: (runOptions: Address, key: string, value: string) => Status;
  readonly createCudaOptions: (out: BigUint64Array) => Status;
  /** Keys and values are arrays of addresses of C strings. What is not named gets its default, so all are set in one call. */
  readonly updateCudaOptions: (cudaOptions: Address, keys: Address, values: Address, count: number) => Status;
  /** For the stream: given as a string it is not read as an address (seen in 1.30). After the strings, which would forget it. */
  readonly updateCudaPointer: (cudaOptions: Address, key: string, value: Address) => Status;
  readonly appendCuda: (options: Address, cudaOptions: Address) => Status;
  readonly releaseCudaOptions: (cudaOptions: Address) => void;
  readonly releaseSession: (session: Address) => void;
  readonly releaseValue: (value: Address) => void;
  readonly releaseRunOptions: (runOptions: Address) => void;
  readonly releaseTypeInfo: (typeInfo: Address) => void;
  readonly releaseSessionOptions: (options: Address) => void;
  readonly releaseMemoryInfo: (memoryInfo: Address) => void;
  readonly releaseBinding: (binding: Address) => void;
  /** Calls for a lane's thread. Strings are addresses of C strings, values that are made come back at the address `out`. */
  readonly steps: {
    createSession(path: Address, options: Address, out: Address): Step;
    releaseSession(session: Address): Step;
    bindInput(binding: Address, name: Address, value: Address): Step;
    bindOutput(binding: Address, name: Address, value: Address): Step;
    runBound(session: Address, runOptions: Address, binding: Address): Step;
  };
}

let loaded: OnnxRuntime | undefined;

/**
 * ONNX Runtime, loaded once per process.
 * @param directory of its libraries; absent = those of the onnxruntime-node package
 * @throws OnepassError `startup` naming the file
 */
export function loadOnnxRuntime(directory?: string): OnnxRuntime {
  // Else the library collects usage data in the home directory and sends it to its makers, on Linux too.
  process.env.ORT_DISABLE_TELEMETRY ??= '1';
  const libraryPath = join(directory || packageDirectory(), 'libonnxruntime.so.1');
  if (loaded !== undefined && loaded.libraryPath !== libraryPath)
    throw startupError(`ONNX Runtime is loaded from "${loaded.libraryPath}" already, so not from "${libraryPath}"`);
  loaded ??= bindLibrary(libraryPath);
  return loaded;
}

function packageDirectory(): string {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(main), '../bin/napi-v6', process.platform, process.arch);
}

function bindLibrary(libraryPath: string): OnnxRuntime {
  const library = openLibrary(libraryPath);
  const table = apiTable(library, libraryPath);
  const bind = <F>(index: number, result: string, parameters: string[]): F =>
    koffi.decode(table[index], koffi.proto(result, parameters)) as F;
  const status = <F>(index: number, parameters: string[]): F => bind(index, 'void*', parameters);
  const release = (index: number): ((handle: Address) => void) => bind(index, 'void', ['void*']);
  const P = 'void*';

  const errorMessage = bind<(status: Address) => string>(2, 'const char*', [P]);
  const releaseStatus = release(93);
  const check = (result: Status): void => {
    if (!result) return;
    const message = errorMessage(result);
    releaseStatus(result);
    throw new Error(message.replace(/\s+/g, ' '));
  };
  const make = (call: (out: BigUint64Array) => Status): Address => {
    const out = new BigUint64Array(1);
    check(call(out));
    return out[0]!;
  };
  const createEnv = status<(level: number, id: string, out: BigUint64Array) => Status>(3, ['int', 'const char*', P]);
  const createCpuMemory = status<(kind: number, type: number, out: BigUint64Array) => Status>(69, ['int', 'int', P]);
  const defaultAllocator = status<(out: BigUint64Array) => Status>(78, [P]);

  const step =
    (index: number, signature: string) =>
    (...args: Address[]): Step => ({ call: table[index]!, signature, args });
  const createSessionOf = step(7, 'spppp');
  const env = make((out) => createEnv(LOG_FATAL, 'onepass', out));

  return {
    libraryPath,
    check,
    env,
    cpuMemory: make((out) => createCpuMemory(ARENA_ALLOCATOR, DEFAULT_MEMORY, out)),
    allocator: make(defaultAllocator),
    availableProviders: listProviders(status(125, [P, P]), status(126, [P, 'int']), check),
    createSession: status(7, [P, 'const char*', P, P]),
    run: status(9, [P, P, P, P, 'size_t', P, 'size_t', P]),
    createSessionOptions: status(10, [P]),
    setLogSeverity: status(22, [P, 'int']),
    setIntraOpThreads: status(24, [P, 'int']),
    setInterOpThreads: status(25, [P, 'int']),
    inputCount: status(30, [P, P]),
    outputCount: status(31, [P, P]),
    inputTypeInfo: status(33, [P, 'size_t', P]),
    outputTypeInfo: status(34, [P, 'size_t', P]),
    inputName: status(36, [P, 'size_t', P, P]),
    outputName: status(37, [P, 'size_t', P, P]),
    createRunOptions: status(39, [P]),
    setTerminate: status(46, [P]),
    unsetTerminate: status(47, [P]),
    createTensor: status(49, [P, P, 'size_t', P, 'size_t', 'int', P]),
    tensorInfo: status(55, [P, P]),
    elementType: status(60, [P, P]),
    dimensionCount: status(61, [P, P]),
    dimensions: status(62, [P, P, 'size_t']),
    symbolicDimensions: status(63, [P, P, 'size_t']),
    allocatorFree: status(76, [P, P]),
    releaseSession: release(95),
    releaseValue: release(96),
    releaseRunOptions: release(97),
    releaseTypeInfo: release(98),
    releaseSessionOptions: release(100),
    addSessionConfig: status(130, [P, 'const char*', 'const char*']),
    appendCuda: status(204, [P, P]),
    createCudaOptions: status(205, [P]),
    releaseCudaOptions: release(208),
    createMemoryInfo: status(68, ['const char*', 'int', 'int', 'int', P]),
    releaseMemoryInfo: release(94),
    memoryDevice: bind(225, 'void', [P, P]),
    inputMemory: status(380, [P, P, 'size_t']),
    createBinding: status(134, [P, P]),
    releaseBinding: release(135),
    addRunConfig: status(165, [P, 'const char*', 'const char*']),
    updateCudaOptions: status(206, [P, P, P, 'size_t']),
    updateCudaPointer: status(263, [P, 'const char*', P]),
    steps: {
      createSession: (path, options, out) => createSessionOf(env, path, options, out),
      releaseSession: step(95, 'vp'),
      runBound: step(133, 'sppp'),
      bindInput: step(136, 'sppp'),
      bindOutput: step(137, 'sppp'),
    },
  };
}

// Errors come back as status and are told once; the native side would print them to standard error as well.
export const LOG_FATAL = 4;
export const DEVICE_ALLOCATOR = 0;
/** OrtMemoryInfoDeviceType_CPU. */
export const HOST_MEMORY = 0;
const ARENA_ALLOCATOR = 1;
export const DEFAULT_MEMORY = 0;
const LAST_FUNCTION = 380;

function openLibrary(libraryPath: string): LibraryHandle {
  try {
    return loadLibrary(libraryPath);
  } catch (error) {
    throw startupError(`ONNX Runtime cannot be loaded from "${libraryPath}" (Linux on x64 or arm64 is needed)`, error);
  }
}

/** OrtGetApiBase() answers { GetApi, GetVersionString }; GetApi(version) a table of function pointers. */
function apiTable(library: LibraryHandle, libraryPath: string): readonly Address[] {
  const [getApi] = koffi.decode(library.func('OrtGetApiBase', 'void*', [])(), 'void*', 2) as Address[];
  const api = koffi.decode(getApi, koffi.proto('void*', ['uint32_t']))(API_VERSION) as Address | null;
  if (!api)
    throw startupError(`ONNX Runtime at "${libraryPath}" is too old: it lacks version ${API_VERSION} of its C API`);
  return koffi.decode(api, 'void*', LAST_FUNCTION + 1) as Address[];
}

function listProviders(
  available: (names: BigUint64Array, count: BigUint64Array) => Status,
  release: (names: Address, count: number) => Status,
  check: (status: Status) => void,
): string[] {
  const names = new BigUint64Array(1);
  const count = new BigUint64Array(1);
  check(available(names, count));
  const length = Number(count[0]);
  const providers = (koffi.decode(names[0], 'void*', length) as Address[]).map((name) => koffi.decode.string(name));
  check(release(names[0]!, length));
  return providers;
}

import { koffi } from '@onepass/shared-memory';
import type { DeviceEngine } from '../index.js';
import { loadOnnxRuntime } from '../onnxruntime.js';
import { makeSessionOptions } from '../session-options.js';
import { cudaDriver } from './cuda-driver.js';
import { loadCudaRuntime } from './cuda-runtime.js';
import { type DeviceEngineOptions, openEngine } from './device-engine.js';

/** What the fake can be told and asked. */
export interface FakeCuda {
  fail(code: number): void;
  /** Pieces of memory and streams that are taken. */
  live(): number;
  copies(): number;
}

/**
 * The engine as it is on a GPU, over the fake CUDA runtime: memory, copies, streams and faults are its, while the sessions compute on the CPU, which can read
 * that memory. Captures are only said to be made.
 * @param hostInputs the sessions say, as is true, that their inputs are read on the CPU
 */
export async function openFakeCudaEngine(
  directory: string,
  options: Pick<DeviceEngineOptions, 'lanes' | 'onLost'>,
  hostInputs = false,
): Promise<{ engine: DeviceEngine; fake: FakeCuda }> {
  const runtime = loadOnnxRuntime();
  const cuda = loadCudaRuntime(directory);
  const driver = cudaDriver(runtime, cuda, { device: 0, threads: 1 });
  const onHost = {
    ...driver,
    memoryInfo: runtime.cpuMemory,
    ownMemory: hostInputs,
    openLane: () => ({ ...driver.openLane(), sessionOptions: () => makeSessionOptions(runtime, 1) }),
  };
  const library = koffi.load(cuda.libraryPath);
  const fake = {
    fail: library.func('void fakeCudaFail(int code)') as FakeCuda['fail'],
    live: library.func('size_t fakeCudaLive()') as FakeCuda['live'],
    copies: library.func('size_t fakeCudaCopies()') as FakeCuda['copies'],
  };
  return { engine: await openEngine(runtime, onHost, 'fake', options), fake };
}

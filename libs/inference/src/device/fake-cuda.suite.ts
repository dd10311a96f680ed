import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { koffi } from '@onepass/shared-memory';
import type { DeviceEngine } from '../index.js';
import { loadOnnxRuntime } from '../onnxruntime.js';
import { makeSessionOptions } from '../session-options.js';
import { cudaDriver } from './cuda-driver.js';
import { loadCudaRuntime } from './cuda-runtime.js';
import { type DeviceEngineOptions, openEngine } from './device-engine.js';

const SOURCES = fileURLToPath(new URL('../../fixtures/cuda', import.meta.url));
/** By library, what it is made of and linked to. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  'libcudart.so.13': ['cudart.c', 'launches.c', 'properties.c'],
  'libcublas.so.13': ['cublas.c', '-l:libcudart.so.13'],
  'libcublasLt.so.13': ['cublas.c', '-l:libcudart.so.13'],
  'libcuda.so.1': ['cublas.c', '-l:libcudart.so.13'],
  'libcurand.so.10': ['-x', 'c', '/dev/null'],
};

/** Makes the CUDA runtime of fixtures/cuda in `directory`, and what ONNX Runtime's CUDA provider wants beside it. @returns false where there is no C compiler */
export function compileFakeCuda(directory: string): boolean {
  mkdirSync(directory, { recursive: true });
  try {
    for (const [name, parts] of Object.entries(LIBRARIES)) {
      // Versions of symbols, as the provider was linked with.
      const versions = join(directory, `${name}.map`);
      writeFileSync(versions, `${name} { *; };\n`);
      const options = ['-O1', '-shared', '-fPIC', `-Wl,-soname,${name},--version-script,${versions}`, `-L${directory}`];
      execFileSync('cc', [...options, '-o', join(directory, name), ...parts], { cwd: SOURCES });
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

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

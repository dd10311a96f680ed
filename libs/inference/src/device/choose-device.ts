import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startupError } from '@onepass/errors';
import type { DeviceName } from '../engine.js';
import type { OnnxRuntime } from '../onnxruntime.js';
import { makeSessionOptions } from '../session-options.js';
import { type CudaRuntime, loadCudaRuntime } from './cuda-runtime.js';
import { messageOf } from './faults.js';

export type DeviceChoice =
  | { readonly name: 'cpu'; readonly reason: string; readonly index?: undefined }
  | { readonly name: `cuda:${number}`; readonly reason: string; readonly index: number; readonly cuda: CudaRuntime };

const CUDA_BUILD =
  "for a GPU ONEPASS_ONNXRUNTIME_DIR must name a folder with ONNX Runtime's CUDA build (node scripts/gpu-libraries.mjs makes one, docs/gpu.md)";

/**
 * A CUDA device where it is asked for and can be used; under `auto` the first one or, when it cannot be had, the CPU. The library that npm ships lists
 * CUDA but lacks the provider's own library beside it (it is in the Python wheel onnxruntime-gpu).
 * @throws OnepassError `startup`: why the device that was asked for cannot be had
 */
export function chooseDevice(wanted: DeviceName | 'auto', runtime: OnnxRuntime): DeviceChoice {
  if (wanted === 'cpu') return { name: 'cpu', reason: 'cpu as set' };
  const name = wanted === 'auto' ? 'cuda:0' : wanted;
  const index = Number(name.slice('cuda:'.length));
  try {
    const cuda = openCuda(runtime, index);
    return { name, index, cuda, reason: `${name} by "${providerLibrary(runtime)}" and "${cuda.libraryPath}"` };
  } catch (error) {
    const why = messageOf(error);
    if (wanted !== 'auto') throw startupError(`device ${name} is not to be had: ${why}`, error);
    return { name: 'cpu', reason: `cpu, as ${name} is not to be had: ${why}` };
  }
}

function providerLibrary({ libraryPath }: OnnxRuntime): string {
  return join(dirname(libraryPath), 'libonnxruntime_providers_cuda.so');
}

/** @throws Error, a clause of a sentence */
function openCuda(runtime: OnnxRuntime, index: number): CudaRuntime {
  const provider = providerLibrary(runtime);
  if (!runtime.availableProviders.includes('CUDAExecutionProvider'))
    throw new Error(`"${runtime.libraryPath}" is built without it; ${CUDA_BUILD}`);
  if (!existsSync(provider)) throw new Error(`"${provider}" does not exist; ${CUDA_BUILD}`);
  const cuda = loadCudaRuntime(dirname(runtime.libraryPath));
  const count = new Int32Array(32);
  const code = cuda.deviceCount(count);
  if (code !== 0) throw new Error(`there is no driver or no device for "${cuda.libraryPath}" (${cuda.describe(code)})`);
  if (index >= count[0]!)
    throw new Error(`this machine has ${count[0]} CUDA ${count[0] === 1 ? 'device' : 'devices'}, counted from cuda:0`);
  // Loads the provider, which wants cuBLAS and the driver.
  runtime.releaseSessionOptions(makeSessionOptions(runtime, 1, { options: { device_id: String(index) } }));
  return cuda;
}

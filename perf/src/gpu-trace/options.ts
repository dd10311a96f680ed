import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { startupError } from '@onepass/errors';
import { readCommandLine } from '@onepass/local';
import { type GpuOptions, parseGpuOptions } from '../gpu/options.js';

export const TRACE_HELP = `npm run trace:gpu -- --libraries DIR [options]

Says what a GPU would be given for each pass of the trunk, on a machine without one: kernels, matrix products and copies of a captured run, by ONNX Runtime's CUDA build over a CUDA runtime
whose kernels do nothing. It needs a C compiler. No times, no numbers: those want a GPU (npm run bench:gpu). More: docs/gpu.md.

  --libraries D  folder of ONNX Runtime's libraries with CUDA; default ONEPASS_ONNXRUNTIME_DIR
  --kernels      the kernels of each pass too, by name
  --layers, --width, --heads, --n, --k, --batch, --dtype, --python
                 as npm run bench:gpu has them; default the shape of its GPU runs
  --help         this text`;

export interface TraceOptions extends Pick<GpuOptions, 'shape' | 'python'> {
  readonly libraries: string;
  readonly kernels: boolean;
}

const PROVIDER = 'libonnxruntime_providers_cuda.so';

/** @throws OnepassError `startup` naming the option that is wrong */
export function parseTraceOptions(args: readonly string[], env: NodeJS.ProcessEnv = {}): 'help' | TraceOptions {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  const shape = { layers: text, width: text, heads: text, n: text, k: text, batch: text, dtype: text, python: text };
  const { values } = readCommandLine({
    args: [...args],
    options: { ...shape, libraries: text, kernels: flag, help: flag },
  });
  if (values.help) return 'help';
  const { kernels, libraries = env.ONEPASS_ONNXRUNTIME_DIR, help: _, ...rest } = values;
  if (!libraries) throw startupError('--libraries: where are the libraries of ONNX Runtime with CUDA?');
  if (!existsSync(join(libraries, PROVIDER)))
    throw startupError(`--libraries: "${libraries}" has no ${PROVIDER}: node scripts/gpu-libraries.mjs fetches it`);
  const given = Object.entries(rest).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const parsed = parseGpuOptions(given);
  if (parsed === 'help') return parsed;
  return { shape: parsed.shape, python: parsed.python, libraries: resolve(libraries), kernels };
}

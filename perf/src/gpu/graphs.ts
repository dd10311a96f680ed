import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { runTraining } from '../kit/shape/run-training.js';
import type { BenchShape, Dtype } from './options.js';

/** What device.json says of the graphs beside it (docs/device-graphs.md). */
export interface DeviceDescription {
  readonly dtype: Dtype;
  readonly pageTokens: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly columns: number;
  readonly embedding: number;
  readonly actions: number;
  readonly window: number;
  readonly contextRows: number;
  readonly graphs: {
    readonly encode: Readonly<Record<string, string>>;
    readonly rank: Readonly<Record<string, string>>;
    readonly recompute: Readonly<Record<string, string>>;
    readonly gather: string;
  };
}

export interface DeviceGraphs {
  readonly folder: string;
  readonly description: DeviceDescription;
}

/** Of all made-up numbers of a bench. */
export const SEED = 1;

/** Writes device graphs with made-up weights by training's command. @throws OnepassError `startup` with what it said */
export async function makeDeviceGraphs(
  { n, layers, width, heads }: BenchShape,
  dtype: Dtype,
  options: { readonly python: string; readonly attention?: readonly string[]; progress(line: string): void },
): Promise<DeviceGraphs> {
  const name = `n${n}-L${layers}-d${width}-h${heads}-${dtype}${options.attention ? `-${options.attention.join('-')}` : ''}`;
  const folder = join(repositoryRoot, '.onepass', 'device-graphs', name);
  const of = { n, layers, width, heads, dtype, seed: SEED, out: folder };
  const args = Object.entries(of).flatMap(([option, value]) => [`--${option}`, String(value)]);
  const some = options.attention === undefined ? [] : ['--attention', options.attention.join(',')];
  await runTraining('device-graphs', [...args, ...some], 'the device graphs could not be made', {
    ...options,
    // Which does without PyTorch.
    module: 'onepass_training.device',
  });
  const description = JSON.parse(await readFile(join(folder, 'device.json'), 'utf8')) as DeviceDescription;
  return { folder, description };
}

import { join } from 'node:path';
import { type DeviceModel, readDeviceModel } from '@onepass/device-trunk';
import { repositoryRoot } from '@onepass/local';
import { runTraining } from '../kit/shape/run-training.js';
import type { BenchShape, Dtype } from './options.js';

export interface DeviceGraphs {
  readonly folder: string;
  readonly description: DeviceModel;
}

/** Of all made-up numbers of a bench. */
export const SEED = 1;

export interface MakeOptions {
  readonly python: string;
  /** Absent = every kind. */
  readonly attention?: readonly string[];
  /** Where such graphs are kept (default `.onepass/device-graphs`). */
  readonly within?: string;
  progress(line: string): void;
}

/** Writes device graphs with made-up weights by training's command. @throws OnepassError `startup` with what it said */
export async function makeDeviceGraphs(
  { n, layers, width, heads }: BenchShape,
  dtype: Dtype,
  options: MakeOptions,
): Promise<DeviceGraphs> {
  const name = `n${n}-L${layers}-d${width}-h${heads}-${dtype}${options.attention ? `-${options.attention.join('-')}` : ''}`;
  const folder = join(options.within ?? join(repositoryRoot, '.onepass', 'device-graphs'), name);
  const of = { n, layers, width, heads, dtype, seed: SEED, out: folder };
  const args = Object.entries(of).flatMap(([option, value]) => [`--${option}`, String(value)]);
  const some = options.attention === undefined ? [] : ['--attention', options.attention.join(',')];
  await runTraining('device-graphs', [...args, ...some], 'the device graphs could not be made', {
    ...options,
    // Which does without PyTorch.
    module: 'onepass_training.device',
  });
  return { folder, description: await readDeviceModel(folder) };
}

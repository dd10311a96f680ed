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

/** An attention that is of CUDA and float16 alone, and for appends; not one of those that are made when nothing is said (decision 022). */
export const PAGED = 'paged';
const USUAL = ['plain', 'mha', 'attention', 'gqa'];
/** Columns of a head that it takes come in eights. */
const PAGED_PIECE = 8;

/** Every kind that the device can run; undefined = those that are made when nothing is said. */
export function attentionFor(
  device: string,
  { width, heads }: BenchShape,
  dtype: Dtype,
): readonly string[] | undefined {
  const takesPaged = device !== 'cpu' && dtype === 'float16' && (width / heads) % PAGED_PIECE === 0;
  return takesPaged ? [...USUAL, PAGED] : undefined;
}

export interface MakeOptions {
  readonly python: string;
  /** Absent = every kind that a CPU has too. */
  readonly attention?: readonly string[] | undefined;
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

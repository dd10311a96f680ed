import type { DeviceModel } from '@onepass/device-trunk';
import type { BedCase, TrunkBed } from '../bed.js';
import type { GpuCase, Timed } from '../gpu-case.js';
import { PAGED } from '../graphs.js';
import type { BenchShape } from '../options.js';

/** Of the graph that only reads pages. */
export const GATHER = 'none';

/** Every kind of attention that some graph has. */
export function attentionsOf({ graphs }: DeviceModel): string[] {
  const kinds = [graphs.rank, graphs.encode, graphs.recompute, graphs.prefill ?? {}];
  return [...new Set(kinds.flatMap((files) => Object.keys(files)))];
}

/** The one to try things with that are not of one kind of attention: expected to be the fastest (decision 022). */
export function usualAttention({ graphs }: DeviceModel): string {
  const known = Object.keys(graphs.rank);
  return known.includes('attention') ? 'attention' : known[0]!;
}

/** Files of one kind of attention, by the kind of graph. */
export function filesOf({ graphs }: DeviceModel, attention: string): [kind: string, file: string][] {
  if (attention === GATHER) return [['gather', graphs.gather]];
  return (['prefill', 'encode', 'rank', 'recompute'] as const).flatMap((kind) => {
    const file = graphs[kind]?.[attention];
    return file === undefined ? [] : [[kind, file] as [string, string]];
  });
}

/** One of every pass that there is with one kind of attention: those that write KV first. @param appended rows of the append */
export function passesOf(
  model: DeviceModel,
  attention: string,
  { n }: Pick<BenchShape, 'n'>,
  batch: number,
  captured: boolean,
  appended = 1,
): GpuCase[] {
  const of = (timed: Timed, rows = 0): GpuCase => ({ system: 'onepass', timed, batch, rows, attention, captured });
  const kinds = new Set(filesOf(model, attention).map(([kind]) => kind));
  return [
    ...(kinds.has('prefill') ? [of('prefill', n)] : []),
    ...(kinds.has('encode') && attention !== PAGED ? [of('encode', n)] : []),
    ...(kinds.has('encode') ? [of('append', appended)] : []),
    ...(kinds.has('rank') ? [of('rank')] : []),
    ...(kinds.has('recompute') ? [of('recompute')] : []),
    ...(kinds.has('gather') ? [of('gather')] : []),
  ];
}

/** Prepares cases, lets them be used, and gives their buffers back. @throws what `use` throws, and OnepassError `startup` */
export async function withCases<T>(
  bed: TrunkBed,
  cases: readonly GpuCase[],
  use: (ready: readonly BedCase[]) => Promise<T>,
  first = 0,
): Promise<T> {
  const ready: BedCase[] = [];
  try {
    for (const asked of cases) ready.push(await bed.prepare(asked, first));
    return await use(ready);
  } finally {
    for (const one of ready) one.close();
  }
}

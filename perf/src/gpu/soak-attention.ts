import type { TrunkAttention } from '@onepass/device-trunk';
import type { DeviceEngine } from '@onepass/inference';
import { TrunkBed } from './bed.js';
import { PAGE, stagesOf } from './bench-cases.js';
import { fastest } from './figures.js';
import type { GpuFindings } from './findings.js';
import type { GpuCase, MeasuredCase, ReadyCase } from './gpu-case.js';
import type { GpuMachine } from './gpu-machine.js';
import { type DeviceGraphs, PAGED } from './graphs.js';
import type { BenchShape } from './options.js';
import { FULL_ROUND, Rounds, SMOKE_ROUND } from './rounds.js';

export interface AttentionTerms {
  /** One of its own, which takes along what trying has taken. */
  open(): Promise<DeviceEngine>;
  readonly graphs: DeviceGraphs;
  readonly shape: BenchShape;
  readonly machine: GpuMachine;
  /** What the bench found, if it ran. */
  readonly known: GpuFindings | undefined;
  readonly smoke: boolean;
  progress(line: string): void;
}

const ROUNDS = 3;

/** For each graph of the trunk the attention that is fastest on this device at this shape: as the bench found it, else by a short try. */
export async function attentionFor(terms: AttentionTerms): Promise<TrunkAttention> {
  const { known, shape, machine } = terms;
  const isOfThis = known !== undefined && known.machine.name === machine.name && sameShape(known.shape, shape);
  const before = isOfThis ? fastestAttention(known.measured, shape.batch) : undefined;
  const found = before ?? fastestAttention(await tryAll(terms), shape.batch);
  if (found !== undefined) return found;
  const [usual] = Object.keys(terms.graphs.description.graphs.rank);
  return { encode: usual!, rank: usual! };
}

/** Undefined where a pass was not measured. An encode mostly appends: whole pasts have a graph of their own. */
export function fastestAttention(measured: readonly MeasuredCase[], batch: number): TrunkAttention | undefined {
  const own = { system: 'onepass', batch } as const;
  // That one is for runs of one row a person, and a trunk has one graph for all of them.
  const known = measured.filter(({ case: of }) => of.attention !== PAGED);
  const encode = fastest(known, { ...own, timed: 'append', rows: 1 })?.case.attention;
  const rank = fastest(measured, { ...own, timed: 'rank' })?.case.attention;
  const prefill = fastest(measured, { ...own, timed: 'prefill' })?.case.attention;
  if (encode === undefined || rank === undefined) return undefined;
  return { encode, rank, ...(prefill && { prefill }) };
}

export const describeAttention = ({ encode, rank, prefill }: TrunkAttention): string =>
  `${prefill === undefined ? '' : `prefill ${prefill}, `}encode ${encode}, rank ${rank}`;

const sameShape = (one: BenchShape, other: BenchShape) =>
  Object.entries(one).every(([name, value]) => value === other[name as keyof BenchShape]);

/** The passes of the trunk at the whole batch, some rounds of each. */
async function tryAll({ open, graphs, shape, smoke, progress }: AttentionTerms): Promise<readonly MeasuredCase[]> {
  const engine = await open();
  try {
    const { rank, prefill = {}, gather } = graphs.description.graphs;
    const ranks = Object.keys(rank);
    const bed = await TrunkBed.open(engine, graphs, { ...shape, ...PAGE });
    const { on } = await bed.capture(gather);
    const [stage] = stagesOf(shape, { rank: ranks, encode: ranks, prefill: Object.keys(prefill) }, on);
    const isOfTrunk = ({ timed, captured }: GpuCase) => !['recompute', 'encode'].includes(timed) && captured === on;
    const ready: ReadyCase[] = [];
    for (const asked of stage!.cases.filter(isOfTrunk)) {
      const made = await bed.prepare(asked).catch(() => undefined);
      if (made !== undefined) ready.push(made);
    }
    const effort = smoke ? SMOKE_ROUND : FULL_ROUND;
    const rounds = new Rounds({ effort, progress, failed: () => {}, onRound: async () => {} });
    await rounds.measure('attention', ready, smoke ? 1 : ROUNDS);
    return rounds.measured;
  } finally {
    await engine.close();
  }
}

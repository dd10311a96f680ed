import type { Goal } from '../drills/drill.js';
import { isMet, describeGoal as tellGoal } from '../drills/goals.js';
import { type Banded, banded } from '../kit/report/rounds.js';
import { median } from '../statistics.js';
import type { Estimate } from '../summary.js';
import type { Agreement } from './agreement.js';
import { PAGE } from './bench-cases.js';
import { kvFlopRatio } from './flops.js';
import type { GpuCase, MeasuredCase } from './gpu-case.js';
import type { BenchShape } from './options.js';

export interface GpuFigureKind {
  readonly says: string;
  readonly goal?: Goal;
}

/** Every figure of the bench by its name in perf/report/summary.json, without "gpu_", and what the device engine should reach at the shape of the paper. */
export const GPU_FIGURES = {
  kv_speedup: { says: 'ranking on held KV over recomputing, each at its fastest', goal: { atLeast: 2.2 } },
  kv_speedup_of_flops: { says: 'share of the FLOP ratio, the whole triangle counted', goal: { atLeast: 0.92 } },
  kv_speedup_of_flops_half: { says: 'share of the FLOP ratio, only what is seen counted' },
  total_speedup: { says: 'over plain recomputing that is not captured, the same batch', goal: { atLeast: 3.5 } },
  total_speedup_batched: { says: 'the same for each person, over plain recomputing of one person at a time' },
  append_speedup: { says: 'appending one row over encoding all', goal: { atLeast: 20 } },
  ratio_vs_pytorch: { says: "time of ranking on held KV over PyTorch's", goal: { atMost: 1.25 } },
  recompute_ratio_vs_pytorch: { says: "time of recomputing over PyTorch's" },
  encode_ratio_vs_pytorch: { says: "time of encoding all over PyTorch's" },
  append_ratio_vs_pytorch: { says: "time of appending one row over PyTorch's" },
  host_kv_ratio: { says: 'time of ranking on KV copied from the host for every run, over KV on the device' },
  host_kv_copy_ratio: { says: 'the same, the copy at the speed of the link' },
  gather_share: { says: 'the gather alone, of ranking on held KV' },
  capture_speedup: { says: 'ranking one person, captured over not' },
  order_agreement: { says: "Kendall's tau of probabilities with float32 on the CPU", goal: { atLeast: 0.99 } },
  probability_error: { says: 'largest difference from float32 on the CPU' },
} as const satisfies Record<string, GpuFigureKind>;

export type GpuFigureName = keyof typeof GPU_FIGURES;
export type GpuFigures = Partial<Readonly<Record<GpuFigureName, Banded>>>;

const goalOf = (name: GpuFigureName): Goal | undefined => (GPU_FIGURES[name] as GpuFigureKind).goal;

/** Undefined where nothing is asked of it. */
export function metOf(name: GpuFigureName, value: number): boolean | undefined {
  const goal = goalOf(name);
  return goal && isMet(goal, value);
}

/** Undefined where nothing is asked of it. */
export function describeGoal(name: GpuFigureName): string | undefined {
  const goal = goalOf(name);
  return goal && tellGoal(goal);
}

/** What was found beside times. */
export interface FoundBeside {
  /** The worst over all of ours; undefined where nothing was compared. */
  readonly agreement?: Agreement | undefined;
}

type Filter = Partial<GpuCase>;

/** All that can be computed from what was measured: ratios within a round, then their median; what was not measured is not there. */
export function figuresOf(measured: readonly MeasuredCase[], shape: BenchShape, beside: FoundBeside = {}): GpuFigures {
  const { batch } = shape;
  const own = (filter: Filter) => fastest(measured, { system: 'onepass', batch, ...filter });
  const peer = (filter: Filter) => fastest(measured, { system: 'pytorch', batch, ...filter });
  const rank = own({ timed: 'rank' });
  const encode = fastestEncode(measured, batch);
  const kv = ratios(own({ timed: 'recompute' }), rank);
  const alone = { timed: 'recompute', attention: 'plain', captured: false } as const;
  const one = ratios(own({ ...alone, batch: 1 }), rank);
  const copied = ratios(peer({ timed: 'kv_copy' }), rank)?.map((ratio) => 1 + ratio);
  const { agreement } = beside;
  const values: Readonly<Record<GpuFigureName, readonly number[] | undefined>> = {
    kv_speedup: kv,
    kv_speedup_of_flops: kv?.map((ratio) => ratio / kvFlopRatio({ ...shape, ...PAGE }, 'whole')),
    kv_speedup_of_flops_half: kv?.map((ratio) => ratio / kvFlopRatio({ ...shape, ...PAGE }, 'half')),
    total_speedup: ratios(own(alone), rank),
    total_speedup_batched: one?.map((ratio) => ratio * batch),
    append_speedup: ratios(encode, own({ timed: 'append', rows: 1 })),
    ratio_vs_pytorch: ratios(rank, peer({ timed: 'rank' })),
    recompute_ratio_vs_pytorch: ratios(own({ timed: 'recompute' }), peer({ timed: 'recompute' })),
    encode_ratio_vs_pytorch: ratios(encode, peer({ timed: 'encode' })),
    append_ratio_vs_pytorch: ratios(own({ timed: 'append', rows: 1 }), peer({ timed: 'append', rows: 1 })),
    host_kv_ratio: ratios(own({ timed: 'rank_host_kv' }), rank),
    host_kv_copy_ratio: copied,
    gather_share: ratios(own({ timed: 'gather' }), rank),
    capture_speedup: captureSpeedup(measured),
    order_agreement: agreement && [agreement.kendall],
    probability_error: agreement && [agreement.worst],
  };
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, seen]) => {
      const figure = seen && banded(seen);
      return figure === undefined ? [] : [[name, figure]];
    }),
  );
}

/**
 * The case of these that takes the least time, by its median; undefined where there is none. Of those in the most rounds: what was the fastest once is measured
 * again beside all that comes later, so that one case is set beside all others.
 */
export function fastest(measured: readonly MeasuredCase[], filter: Filter): MeasuredCase | undefined {
  const wanted = Object.entries(filter);
  const fitting = measured.filter((one) => wanted.every(([name, value]) => one.case[name as keyof GpuCase] === value));
  const most = Math.max(...fitting.map(({ rounds }) => rounds.length));
  return fitting
    .filter(({ rounds }) => rounds.length === most)
    .reduce<MeasuredCase | undefined>(
      (best, one) => (best === undefined || deviceMs(one) < deviceMs(best) ? one : best),
      undefined,
    );
}

/** By whichever graph encodes a whole past in the least time. */
export function fastestEncode(measured: readonly MeasuredCase[], batch: number): MeasuredCase | undefined {
  const both = (['encode', 'prefill'] as const).flatMap(
    (timed) => fastest(measured, { system: 'onepass', timed, batch }) ?? [],
  );
  return fastest(both, {});
}

/** Milliseconds on the device, the median over rounds. */
export const deviceMs = ({ rounds }: MeasuredCase) => median(rounds.map((round) => round.deviceMicros)) / 1000;
export const wallMs = ({ rounds }: MeasuredCase) => median(rounds.map((round) => round.wallMicros)) / 1000;

/** Of times on the device, of each round that has both; undefined where none has. */
function ratios(over: MeasuredCase | undefined, under: MeasuredCase | undefined): number[] | undefined {
  if (over === undefined || under === undefined) return undefined;
  const unders = new Map(under.rounds.map(({ round, deviceMicros }) => [round, deviceMicros]));
  const seen = over.rounds.flatMap(({ round, deviceMicros }) => {
    const beside = unders.get(round);
    return beside === undefined ? [] : [deviceMicros / beside];
  });
  return seen.length === 0 ? undefined : seen;
}

/** With the attention that is fastest when captured: launches are what capturing saves. */
function captureSpeedup(measured: readonly MeasuredCase[]): number[] | undefined {
  const captured = fastest(measured, { system: 'onepass', timed: 'rank', batch: 1, captured: true });
  if (captured === undefined) return undefined;
  return ratios(fastest(measured, { ...captured.case, captured: false }), captured);
}

/** The shape that the figures with bare names are of: UniPinRec's Table 2. */
const HOME: BenchShape = { layers: 12, width: 768, heads: 12, n: 992, k: 656, batch: 8, dtype: 'float16' };

export const isHome = (shape: BenchShape) =>
  Object.entries(HOME).every(([name, value]) => shape[name as keyof BenchShape] === value);

/** As they stand in perf/report/summary.json. */
export function summaryEntries(figures: GpuFigures, shape: BenchShape): Record<string, Estimate> {
  const { layers, width, n, k, batch, dtype } = shape;
  const suffix = isHome(shape)
    ? ''
    : `_n${n}_k${k}_l${layers}_d${width}_b${batch}_${dtype === 'float16' ? 'fp16' : 'fp32'}`;
  return Object.fromEntries(
    Object.entries(figures).map(([name, { value, band }]) => [
      `gpu_${name}${suffix}`,
      { value, ...(band && { band }) },
    ]),
  );
}

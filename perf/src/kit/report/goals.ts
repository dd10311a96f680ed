import type { Goal } from '../../drills/drill.js';
import { describeGoal, isMet } from '../../drills/goals.js';
import type { Shape } from '../measurements.js';
import { sameShape, shapeKey } from './findings.js';

export { describeGoal, isMet };

/** The shape that the claims are made at, the one of the release in the repository, and the one at which reuse itself is judged. */
export const MAIN_SHAPE: Shape = { n: 512, k: 400, layers: 6, width: 256 };
export const DEFAULT_SHAPE: Shape = { n: 256, k: 200, layers: 4, width: 128 };
export const REUSE_SHAPE: Shape = { n: 992, k: 656, layers: 12, width: 512 };

export interface FigureKind {
  /** What it is, for a reader who has not read the method. */
  readonly says: string;
  readonly unit: '' | 'x' | 'ms';
  readonly better: 'more' | 'less';
  /** Holds at the shapes that are named above. */
  readonly goal?: Goal;
  /** The shape whose figure has the bare name; others have a suffix. */
  readonly home: Shape;
}

const figure = (
  says: string,
  unit: FigureKind['unit'],
  better: FigureKind['better'],
  goal?: Goal,
  home: Shape = MAIN_SHAPE,
): FigureKind => ({ says, unit, better, home, ...(goal && { goal }) });

/** Every figure of the kit, by the name under which perf/report/summary.json keeps it, and what it should be. */
export const FIGURES: Readonly<Record<string, FigureKind>> = {
  qps_ratio_c_over_b: figure('pages a second, KV shared by the stages over two models', 'x', 'more'),
  qps_ratio_c_over_b_ceiling: figure('the same ratio of pure compute', 'x', 'more'),
  qps_ratio_c_over_b_of_ceiling: figure('share of that ceiling', '', 'more', { atLeast: 0.9 }),
  qps_ratio_d_over_b: figure('pages a second, KV also kept between requests over two models', 'x', 'more'),
  qps_ratio_d_over_b_ceiling: figure('the same ratio of pure compute', 'x', 'more'),
  qps_ratio_d_over_b_of_ceiling: figure('share of that ceiling', '', 'more', { atLeast: 0.9 }),
  qps_ratio_a_over_b: figure('pages a second, Onepass over two models', 'x', 'more'),
  qps_ratio_a_over_b_ceiling: figure('the same ratio of pure compute', 'x', 'more'),
  qps_ratio_a_over_b_of_ceiling: figure('share of that ceiling', '', 'more'),
  qps_ratio_a_over_bprime: figure(
    'pages a second, Onepass over two models that keep KV in the same memory, at 50% hit',
    'x',
    'more',
    { atLeast: 1.3 },
  ),
  qps_ratio_a_over_bprime_ceiling: figure('the same ratio of pure compute, at the hit rates seen', 'x', 'more'),
  qps_ratio_a_over_bprime_of_ceiling: figure('share of that ceiling', '', 'more'),
  qps_ratio_a_over_g: figure('pages a second, Onepass over the Python monolith that keeps KV', 'x', 'more', {
    atLeast: 0.9,
  }),
  qps_ratio_a_over_g_ceiling: figure('the same ratio of pure compute', 'x', 'more'),
  qps_ratio_a_over_g_of_ceiling: figure('share of that ceiling', '', 'more'),
  qps_ratio_a_over_g_without_kv: figure('pages a second, Onepass over the Python monolith', 'x', 'more'),
  qps_ratio_a_over_g_without_kv_ceiling: figure('the same ratio of pure compute', 'x', 'more'),
  qps_ratio_a_over_g_without_kv_of_ceiling: figure('share of that ceiling', '', 'more'),
  median_latency_ratio_d_over_b: figure('median latency one at a time, KV kept over two models', 'x', 'less'),
  median_latency_ratio_d_over_b_floor: figure('the same ratio of pure compute', 'x', 'less'),
  median_latency_ratio_d_over_b_of_floor: figure('multiple of that floor', 'x', 'less', { atMost: 1.15 }),
  overhead_cpu_ms: figure("CPU of Onepass's processes a page beyond pure compute", 'ms', 'less', { atMost: 2 }),
  bare_chain_cpu_ms: figure('CPU of four processes that only pass the same messages along, a page', 'ms', 'less'),
  overhead_to_bare_chain: figure("Onepass's overhead to that", 'x', 'less'),
  gateway_overhead_p50_ms: figure('median time of a page in the gateway beyond its stages', 'ms', 'less', {
    atMost: 1.5,
  }),
  reuse_efficiency: figure(
    'speed-up of a ranking pass by held KV, of what its FLOPs promise',
    '',
    'more',
    { atLeast: 0.95 },
    REUSE_SHAPE,
  ),
};

/** Name in summary.json of a kind of figure at a shape. */
export function figureName(base: string, shape: Shape): string {
  if (sameShape(shape, FIGURES[base]?.home ?? MAIN_SHAPE)) return base;
  return `${base}_${sameShape(shape, DEFAULT_SHAPE) ? 'default' : shapeKey(shape)}`;
}

/** Kind of the figure that has this name, whatever its shape; undefined where it is none of the kit's. */
export function figureKind(name: string): FigureKind | undefined {
  return FIGURES[name] ?? FIGURES[name.replace(/_(default|n\d+_k\d+_l\d+_d\d+)$/, '')];
}

/** What is asked of the figure at this shape; undefined where nothing is. */
export function goalOf(base: string, shape: Shape): Goal | undefined {
  const kind = FIGURES[base];
  const asked = kind && (sameShape(shape, kind.home) || (kind.home === MAIN_SHAPE && sameShape(shape, DEFAULT_SHAPE)));
  return asked ? kind.goal : undefined;
}

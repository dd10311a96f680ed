import { median } from '../../statistics.js';
import type { Measurement, PureCompute, Shape, SystemName } from '../measurements.js';
import { ceilingOf, pureMsOf, reuseEfficiency } from './compute.js';
import { type BareChainCost, CHAIN_CONCURRENCY, type ReportFindings, sameShape, shapeKey } from './findings.js';
import { DEFAULT_SHAPE, FIGURES, figureName, goalOf, isMet, MAIN_SHAPE } from './goals.js';
import {
  alone,
  type Banded,
  type ByRound,
  banded,
  byRound,
  cpuOfPage,
  grouped,
  hitRate,
  medianOf,
  paired,
  saturated,
} from './rounds.js';

/** One figure of a run. */
export interface KitFigure extends Banded {
  readonly name: string;
  /** Its key in FIGURES. */
  readonly base: string;
  readonly shape: Shape;
  /** What a reader needs beside the number: under which load, at which hit rates. Empty where there is nothing to add. */
  readonly detail: string;
  /** Undefined where nothing is asked of it. */
  readonly met: boolean | undefined;
}

type FiguresSource = Pick<ReportFindings, 'measurements' | 'pure' | 'gateway' | 'chain'>;

/** All that can be computed from what was measured, by shape. A ratio is the median of the ratios within a round. */
export function figuresOf(findings: FiguresSource): KitFigure[] {
  return shapesOf(findings).flatMap((shape) => {
    const here: AtShape = {
      shape,
      measurements: findings.measurements.filter((m) => m.sweep === undefined && sameShape(m.shape, shape)),
      pure: findings.pure.filter((p) => sameShape(p.shape, shape)),
    };
    return [
      ...qpsRatio(here, 'qps_ratio_c_over_b', 'C', 'B'),
      ...qpsRatio(here, 'qps_ratio_d_over_b', 'D', 'B'),
      ...qpsRatio(here, 'qps_ratio_a_over_b', 'A', 'B'),
      ...halfHit(here, findings.measurements),
      ...qpsRatio(here, 'qps_ratio_a_over_g', 'A', 'Gkv'),
      ...qpsRatio(here, 'qps_ratio_a_over_g_without_kv', 'A', 'G'),
      ...latencyRatio(here),
      ...overhead(
        here,
        findings.chain.filter((c) => sameShape(c.shape, shape)),
      ),
      ...plain(
        here,
        'gateway_overhead_p50_ms',
        findings.gateway.filter((g) => sameShape(g.shape, shape)).map((g) => g.p50Ms),
      ),
      ...plain(here, 'reuse_efficiency', here.pure.map(reuseEfficiency)),
    ];
  });
}

/** By name; undefined of what is asked for and was not measured. */
export function numbersOf(findings: FiguresSource): Record<string, number | undefined> {
  const asked = Object.keys(FIGURES).flatMap((base) => {
    const { home } = FIGURES[base]!;
    return (home === MAIN_SHAPE ? [home, DEFAULT_SHAPE] : [home]).map((shape) => figureName(base, shape));
  });
  return {
    ...Object.fromEntries(asked.map((name) => [name, undefined])),
    ...Object.fromEntries(figuresOf(findings).map(({ name, value }) => [name, value])),
  };
}

/** Shapes that figures are of: those measured outside sweeps, the one that the claims are made at first. */
export function shapesOf({ measurements, pure, gateway, chain }: FiguresSource): Shape[] {
  const all = [...measurements.filter(({ sweep }) => sweep === undefined), ...pure, ...gateway, ...chain];
  const shapes = [...new Map(all.map(({ shape }) => [shapeKey(shape), shape])).values()];
  const place = (shape: Shape) => (sameShape(shape, MAIN_SHAPE) ? 0 : sameShape(shape, DEFAULT_SHAPE) ? 1 : 2);
  return shapes.sort((a, b) => place(a) - place(b));
}

interface AtShape {
  readonly shape: Shape;
  /** Outside sweeps. */
  readonly measurements: readonly Measurement[];
  readonly pure: readonly PureCompute[];
}

function make(shape: Shape, base: string, seen: Banded | undefined, detail = ''): KitFigure[] {
  if (seen === undefined) return [];
  const goal = goalOf(base, shape);
  const met = goal === undefined ? undefined : isMet(goal, seen.value);
  return [{ ...seen, name: figureName(base, shape), base, shape, detail, met }];
}

const plain = ({ shape }: AtShape, base: string, values: readonly number[]) => make(shape, base, banded(values));

/** A ratio, its bound by pure compute (ceiling or floor), and the one over the other. */
function bounded(shape: Shape, base: string, bound: string, ratios: readonly number[], limit: number, detail: string) {
  const limits = make(shape, `${base}_${bound}`, banded([limit]));
  const shares = banded(limit > 0 && Number.isFinite(limit) ? ratios.map((ratio) => ratio / limit) : []);
  return [
    ...make(shape, base, banded(ratios), detail),
    ...(ratios.length > 0 ? limits : []),
    ...make(shape, `${base}_of_${bound}`, shares),
  ];
}

const goodput = (m: Measurement) => m.seen.goodput;
const concurrencyOf = (rounds: ByRound) => {
  const [first] = rounds.values();
  return first?.load.kind === 'closed' ? `c=${first.load.concurrency}` : 'trace';
};

/** Whole pages a second of each at its own best closed loop. Ceilings are at full hit. */
function qpsRatio({ shape, measurements, pure }: AtShape, base: string, over: SystemName, under: SystemName) {
  const [a, b] = [saturated(measurements, over), saturated(measurements, under)];
  const ratios = paired(a, b, (x, y) => goodput(x) / goodput(y));
  const detail = `${over} at ${concurrencyOf(a)}, ${under} at ${concurrencyOf(b)}`;
  return bounded(shape, base, 'ceiling', ratios, ceilingOf(pure, { system: over }, { system: under }), detail);
}

/** How far the hit rate of A may be from a half for a point to count as 50% hit. */
const HIT_MARGIN = 0.1;

/**
 * A over B' where A's hit rate is a half, give or take `HIT_MARGIN`: of all such points of sweeps and outside them the one where B' is
 * nearest to a half too, which is the rival's best case. The ceiling is at the hit rates that were seen.
 */
function halfHit({ shape, pure }: AtShape, measurements: readonly Measurement[]): KitFigure[] {
  const here = measurements.filter((m) => sameShape(m.shape, shape) && m.load.kind !== 'open');
  const points = [...grouped(here, pointKey).values()].map((some) => {
    const [a, b] = [saturatedOrTrace(some, 'A'), saturatedOrTrace(some, 'Bprime')];
    return { a, b, hitA: medianOf(a, hitRate), hitB: medianOf(b, hitRate) };
  });
  const usable = points.filter(({ hitA, hitB }) => Math.abs(hitA - 0.5) <= HIT_MARGIN && Number.isFinite(hitB));
  const [best] = usable.sort((p, q) => Math.abs(p.hitB - 0.5) - Math.abs(q.hitB - 0.5));
  if (best === undefined) return [];
  const { a, b, hitA, hitB } = best;
  const ratios = paired(a, b, (x, y) => goodput(x) / goodput(y));
  const limit = ceilingOf(pure, { system: 'A', hit: hitA }, { system: 'Bprime', hit: hitB });
  const detail = `hit rate of A ${percent(hitA)}, of B' ${percent(hitB)}`;
  return bounded(shape, 'qps_ratio_a_over_bprime', 'ceiling', ratios, limit, detail);
}

const percent = (share: number) => `${Math.round(100 * share)}%`;

/** Measurements that differ in system, round and calls at a time alone. */
function pointKey({ sweep, load }: Measurement): string {
  const point = sweep === undefined ? '' : `${sweep.name}=${sweep.value}`;
  return load.kind === 'trace' ? `${point} trace ${load.people} ${load.qps}` : point;
}

function saturatedOrTrace(measurements: readonly Measurement[], system: SystemName): ByRound {
  const traced = measurements.filter((m) => m.system === system && m.load.kind === 'trace');
  return traced.length > 0 ? byRound(traced) : saturated(measurements, system);
}

/** Median latency one call at a time. Its floor is the inverse of the ceiling of calls a second. */
function latencyRatio({ shape, measurements, pure }: AtShape): KitFigure[] {
  const p50 = (m: Measurement) => m.seen.latencyMs.p50;
  const ratios = paired(alone(measurements, 'D'), alone(measurements, 'B'), (d, b) => p50(d) / p50(b));
  const floor = 1 / ceilingOf(pure, { system: 'D' }, { system: 'B' });
  return bounded(shape, 'median_latency_ratio_d_over_b', 'floor', ratios, floor, 'one at a time');
}

/**
 * CPU that A's processes use a page at saturation, less the graphs and the search of one page timed alone: of the pages that held KV
 * served an append, of the others a whole encode. Beside it what messages alone cost.
 */
function overhead({ shape, measurements, pure }: AtShape, chain: readonly BareChainCost[]): KitFigure[] {
  const rounds = saturated(measurements, 'A');
  const fixed = (p: PureCompute) => p.retrieveHead + p.search;
  const overheads = new Map(
    [...rounds].map(([round, m]): [number, number] => {
      const sameRound = pure.filter((p) => p.round === round);
      const hit = hitRate(m);
      const alone = (sameRound.length > 0 ? sameRound : pure).map(
        (p) => pureMsOf('A', p, Number.isFinite(hit) ? hit : 1) + fixed(p),
      );
      return [round, cpuOfPage(m) - median(alone)];
    }),
  );
  const toChain = chain.map(({ round, cpuMs }) => (overheads.get(round) ?? Number.NaN) / cpuMs);
  return [
    ...make(shape, 'overhead_cpu_ms', banded([...overheads.values()]), `A at ${concurrencyOf(rounds)}`),
    ...make(shape, 'bare_chain_cpu_ms', banded(chain.map(({ cpuMs }) => cpuMs)), `c=${CHAIN_CONCURRENCY}`),
    ...make(shape, 'overhead_to_bare_chain', banded(toChain)),
  ];
}

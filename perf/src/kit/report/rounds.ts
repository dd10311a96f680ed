import { seededRandom } from '@onepass/contracts';
import { median, percentile } from '../../statistics.js';
import type { Measurement, SystemName } from '../measurements.js';

/** A number with the interval in which another run of the same should fall. */
export interface Banded {
  /** Median over rounds. */
  readonly value: number;
  /** Undefined with fewer than two rounds. */
  readonly band: readonly [low: number, high: number] | undefined;
  readonly rounds: number;
}

const RESAMPLES = 1000;

/** Median and the 95% interval of it, by bootstrap over rounds; with fewer than five rounds that is all that was seen. Undefined of nothing. */
export function banded(values: readonly number[]): Banded | undefined {
  const seen = values.filter(Number.isFinite);
  if (seen.length === 0) return undefined;
  return { value: median(seen), band: seen.length < 2 ? undefined : bootstrap(seen), rounds: seen.length };
}

function bootstrap(values: readonly number[]): readonly [number, number] {
  const random = seededRandom(values.length);
  const draw = () => values[Math.floor(random() * values.length)]!;
  const medians = Array.from({ length: RESAMPLES }, () => median(values.map(draw)));
  return [percentile(medians, 0.025), percentile(medians, 0.975)];
}

/** One system under one load, by round; the last one measured of a round counts. */
export type ByRound = ReadonlyMap<number, Measurement>;

export function byRound(measurements: readonly Measurement[]): ByRound {
  return new Map(measurements.map((m) => [m.round, m]));
}

/** The same quotient in every round that has both, so that what a round's machine does to both cancels out. */
export function paired(
  over: ByRound,
  under: ByRound,
  quotient: (over: Measurement, under: Measurement) => number,
): number[] {
  return [...over].flatMap(([round, m]) => {
    const other = under.get(round);
    return other === undefined ? [] : [quotient(m, other)];
  });
}

/** A value's median over rounds. NaN of nothing. */
export function medianOf(rounds: ByRound, value: (m: Measurement) => number | undefined): number {
  return median([...rounds.values()].map(value).filter((v) => v !== undefined && Number.isFinite(v)) as number[]);
}

/** In the order in which the keys are first seen. */
export function grouped<T, K>(values: Iterable<T>, key: (value: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const value of values) {
    const group = groups.get(key(value));
    if (group === undefined) groups.set(key(value), [value]);
    else group.push(value);
  }
  return groups;
}

/** By number of calls at a time, the closed loops of one system, fewest first. */
export function closedLoops(
  measurements: readonly Measurement[],
  system: SystemName,
): readonly (readonly [concurrency: number, rounds: ByRound])[] {
  const own = measurements.flatMap((m) =>
    m.system === system && m.load.kind === 'closed' ? [{ concurrency: m.load.concurrency, m }] : [],
  );
  return [...grouped(own, ({ concurrency }) => concurrency)]
    .sort(([a], [b]) => a - b)
    .map(([concurrency, some]) => [concurrency, byRound(some.map(({ m }) => m))]);
}

/** Each system at its own best: the closed loop in which it answers the most whole pages a second, by the median over rounds. */
export function saturated(measurements: readonly Measurement[], system: SystemName): ByRound {
  const goodput = (rounds: ByRound) => medianOf(rounds, (m) => m.seen.goodput);
  const loops = closedLoops(measurements, system).map(([, rounds]) => rounds);
  return loops.reduce((best, loop) => (goodput(loop) > goodput(best) ? loop : best), loops[0] ?? new Map());
}

/** One call at a time. */
export function alone(measurements: readonly Measurement[], system: SystemName): ByRound {
  return new Map(closedLoops(measurements, system).find(([concurrency]) => concurrency === 1)?.[1] ?? []);
}

/** Share of pages that held KV served, of those by people who have a past. NaN where no page says where its KV came from. */
export function hitRate({ kv }: Pick<Measurement, 'kv'>): number {
  const { slot = 0, append = 0, tier = 0, recompute = 0 } = kv;
  return (slot + append) / (slot + append + tier + recompute);
}

/** CPU in ms a whole page, of one process or of all. What calls cost that were refused or degraded is in it: they made no page. */
export function cpuOfPage({ cpuMs, seen }: Measurement, process?: string): number {
  const ofCall = process === undefined ? Object.values(cpuMs).reduce((sum, ms) => sum + ms, 0) : (cpuMs[process] ?? 0);
  return (ofCall * seen.calls) / seen.good;
}

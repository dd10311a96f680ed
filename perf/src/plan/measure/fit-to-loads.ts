import type { Release } from '@onepass/release';
import type { ServiceTimes } from '../sim/service-times.js';
import type { RealLoads } from '../validate/loads.js';
import { meanTold, predictLoads } from '../validate/predict.js';
import type { RealEffort } from '../validate/real-loads.js';

/**
 * What `wakeMs` and `busySpeed` are fitted to: one cell, a light load and a heavy one, neither of them a load that the simulator is compared at. Two
 * figures, and two medians that say them.
 */
export const FIT_EFFORT: RealEffort = {
  ...{ rates: [12, 36], rounds: 2, slots: 160, people: 1_500 },
  ...{ warmUpSeconds: 4, pages: 600, heatSeconds: 90 },
};
export const SMOKE_FIT_EFFORT: RealEffort = {
  ...{ rates: [8, 16], rounds: 1, slots: 16, people: 120 },
  ...{ warmUpSeconds: 0.5, pages: 16, heatSeconds: 0.5 },
};

/** Where they may lie: a way takes no less than on an idle machine, and no longer than a slice of time. */
const WAKE_MS = [0, 2] as const;
const BUSY_SPEED = [0.5, 1.5] as const;
const STEPS = 7;
/** Each in turn, the other being kept: a light load hardly knows how fast busy cores are. */
const TURNS = 2;
const SEEDS = [11];

/**
 * The same service times with what a load does to them: so that the median page of the lightest and of the heaviest load takes what it took.
 * @param rates of the loads that count; absent: all
 */
export async function fitToLoads(
  times: ServiceTimes,
  real: RealLoads,
  release: Pick<Release, 'manifest'>,
  rates: readonly number[] = real.traces.slice(1).map(({ qps }) => qps),
): Promise<ServiceTimes> {
  const [light, heavy] = [Math.min(...rates), Math.max(...rates)];
  const median = (told: RealLoads['seen'], qps: number) =>
    meanTold(told.filter((_, i) => i > 0 && real.traces[i]!.qps === qps)).p50Ms;
  const off = async (tried: ServiceTimes, qps: number) =>
    median(await predictLoads(real, { release, times: tried, seeds: SEEDS }), qps) - median(real.seen, qps);
  let fitted = times;
  for (let turn = 0; turn < TURNS; turn += 1) {
    const wakeMs = await bisect(WAKE_MS, (value) => off({ ...fitted, wakeMs: value }, light));
    fitted = { ...fitted, wakeMs };
    // Faster cores make pages shorter.
    const busySpeed = await bisect(BUSY_SPEED, async (value) => -(await off({ ...fitted, busySpeed: value }, heavy)));
    fitted = { ...fitted, busySpeed };
  }
  return fitted;
}

export const tellFitted = ({ wakeMs, busySpeed }: ServiceTimes): string =>
  `Fitted to loads of ${FIT_EFFORT.rates.join(' and ')} pages a second: ${wakeMs.toFixed(3)} ms more for each way, and a core that is ${busySpeed.toFixed(2)} times as fast when all are busy.`;

/** Where a rising function is 0; an end where it is 0 nowhere between. */
export async function bisect(
  [from, to]: readonly [number, number],
  rising: (value: number) => Promise<number>,
): Promise<number> {
  let [low, high] = [from, to];
  for (let step = 0; step < STEPS; step += 1) {
    const middle = (low + high) / 2;
    if ((await rising(middle)) < 0) low = middle;
    else high = middle;
  }
  if (high === from + (to - from) / 2 ** STEPS) return from;
  if (low === to - (to - from) / 2 ** STEPS) return to;
  return (low + high) / 2;
}

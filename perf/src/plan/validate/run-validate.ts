import { FIT_EFFORT, fitToLoads, tellFitted } from '../measure/fit-to-loads.js';
import type { Told } from '../sim/replay-trace.js';
import type { ServiceTimes } from '../sim/service-times.js';
import type { Compared } from './compare.js';
import { meanTold, predictLoads } from './predict.js';
import { type RealEffort, type RealTerms, sendRealLoads } from './real-loads.js';

export interface ValidateTerms extends RealTerms {
  readonly times: ServiceTimes;
  readonly effort: ValidateEffort;
}

export interface ValidateEffort extends RealEffort {
  readonly cells: readonly (1 | 2)[];
  /** Rates among `rates`, of one cell, that what a load does to pages is fitted to; they are not compared. None: as it was measured. */
  readonly fitted: readonly number[];
}

/** What is fitted and what is compared are measured in turn: a machine is another in the next quarter of an hour. */
export const FULL_EFFORT: ValidateEffort = {
  ...{ cells: [1, 2], rates: [12, 24, 36, 44], fitted: FIT_EFFORT.rates, rounds: 2, slots: 160, people: 1_500 },
  ...{ warmUpSeconds: 5, pages: 1_000, heatSeconds: 90 },
};
export const SMOKE_EFFORT: ValidateEffort = {
  ...{ cells: [1], rates: [10], fitted: [], rounds: 1, slots: 16, people: 120 },
  ...{ warmUpSeconds: 0.5, pages: 20, heatSeconds: 0.5 },
};
/** Runs of the simulator over the same traces: a 99th percentile of one run is as much by chance as that of a real load. */
const SEEDS = [1, 2, 3, 4];

/**
 * Real meshes of one and two cells under sessions of people, more than they have slots for, and the same traces simulated. Loads of one mesh follow each
 * other in both.
 * @throws OnepassError `startup` when a mesh does not start
 */
export async function validate({ effort, times, ...terms }: ValidateTerms): Promise<Compared[]> {
  const compared: Compared[] = [];
  const reals = await sendRealLoads(terms, effort, effort.cells);
  const { fitted, rates } = effort;
  const today = fitted.length === 0 ? times : await fitToLoads(times, reals[0]!, terms.release, fitted);
  if (today !== times) terms.progress(tellFitted(today));
  for (const [i, real] of reals.entries()) {
    const cells = effort.cells[i]!;
    const predicted = await predictLoads(real, { release: terms.release, times: today, seeds: SEEDS });
    for (const qps of rates.filter((rate) => !fitted.includes(rate))) {
      const of = (told: readonly Told[]) => meanTold(told.filter((_, i) => i > 0 && real.traces[i]!.qps === qps));
      compared.push({
        ...{ cells, slots: cells * real.told.slots, people: effort.people, qps },
        ...{ predicted: of(predicted), measured: of(real.seen) },
      });
    }
  }
  return compared;
}

import { median } from '../statistics.js';
import type { MeasuredCase, ReadyCase } from './gpu-case.js';

/** Of one case in one round. */
export interface RoundEffort {
  readonly micros: number;
  readonly least: number;
  readonly most: number;
}

export const FULL_ROUND: RoundEffort = { micros: 60_000, least: 3, most: 30 };
export const SMOKE_ROUND: RoundEffort = { micros: 2_000, least: 1, most: 3 };

/** Runs that fill a round, by how long one took. */
export const runsOf = (micros: number, { micros: wanted, least, most }: RoundEffort) =>
  Math.min(most, Math.max(least, Math.round(wanted / Math.max(1, micros))));

/**
 * Every case once a round, each round beginning with another one, so that what drifts falls on all alike. What fails is left out from then on and told.
 * @returns the cases that went well in all rounds
 */
export async function measureRounds(
  cases: readonly ReadyCase[],
  rounds: number,
  effort: RoundEffort,
  tell: { progress(line: string): void; failed(ready: ReadyCase, error: unknown): void },
): Promise<MeasuredCase[]> {
  const found = new Map<ReadyCase, MeasuredCase['rounds'][number][]>();
  const runs = new Map<ReadyCase, number>();
  const failed = new Set<ReadyCase>();
  const attempt = async (ready: ReadyCase, work: () => Promise<void>) => {
    if (failed.has(ready)) return;
    await work().catch((error: unknown) => {
      failed.add(ready);
      tell.failed(ready, error);
    });
  };
  for (const ready of cases) {
    await attempt(ready, async () => {
      await ready.time(1);
      const { wallMicros } = await ready.time(effort.least);
      runs.set(ready, runsOf(median(wallMicros), effort));
    });
  }
  for (let round = 0; round < rounds; round++) {
    tell.progress(`round ${round + 1} of ${rounds}: ${cases.length - failed.size} cases`);
    const first = Math.floor((round * cases.length) / rounds);
    for (const ready of [...cases.slice(first), ...cases.slice(0, first)]) {
      await attempt(ready, async () => {
        const { deviceMicros, wallMicros } = await ready.time(runs.get(ready)!);
        const seen = { deviceMicros: median(deviceMicros), wallMicros: median(wallMicros) };
        found.set(ready, [...(found.get(ready) ?? []), seen]);
      });
    }
  }
  return cases.flatMap((ready) => {
    const seen = found.get(ready);
    return seen === undefined || failed.has(ready) ? [] : [{ case: ready.case, rounds: seen }];
  });
}

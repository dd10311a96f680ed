import { OnepassError } from '@onepass/errors';

/**
 * By when each stage must have answered, as a share of the request's whole time. A stage that is late leaves the following
 * ones a quarter of the time each, with which they answer degraded, and the page the last twentieth: building one takes
 * well under a millisecond, the rest is the way back to the caller.
 */
const LATEST = { encode: 0.45, retrieve: 0.7, rank: 0.95 } as const;

export type TimedStage = keyof typeof LATEST;

/** One budget of time per request, as epoch ms. */
export interface TimeBudget {
  readonly endMs: number;
  /** Deadline of a stage. */
  latest(stage: TimedStage): number;
  /** Deadline of an encode that comes a second time, before a second rank: half of what is left to ranking. */
  again(nowMs: number): number;
}

/**
 * @param callerDeadlineMs epoch ms, Infinity when the caller gave none
 * @throws OnepassError `deadline_exceeded` when nothing is left.
 */
export function timeBudget(nowMs: number, budgetMs: number, callerDeadlineMs: number): TimeBudget {
  const endMs = Math.min(nowMs + budgetMs, callerDeadlineMs);
  const total = endMs - nowMs;
  if (total <= 0) throw new OnepassError({ kind: 'deadline_exceeded' }, 'the deadline has passed');
  const latest = (stage: TimedStage) => nowMs + total * LATEST[stage];
  return { endMs, latest, again: (now) => now + Math.max(0, latest('rank') - now) / 2 };
}

import { seededRandom } from '@onepass/contracts';
import { makeTrace, usualTrace, visitsOf } from '../kit/load/index.js';

export const DAY_MS = 86_400_000;

/** A population as it comes: people who come back by the laws of `usualTrace`, in a day that is not pressed. */
export interface Population {
  readonly people: number;
  /** Pages a second, on average over a day. */
  readonly qps: number;
  /** Pages by people who come once and never again, for each page of the others: a crawler's, a batch's. */
  readonly scan?: number;
  readonly seed: number;
}

/** Who has a page, in order. */
export interface Visits {
  /** By visit: the person's number; below 0, somebody of a scan. */
  readonly persons: Int32Array;
  /** Visits before this one only warm what is held. */
  readonly counted: number;
  /** One of so many people is in the sample: slots, cells' loads and pages are to be divided by it. At least 1. */
  readonly scale: number;
}

const DAYS = 2;

/**
 * Visits of two days, by a sample of the people that makes about `most` pages: persons come independently of each other, so that a cache of 1/s
 * of the slots for 1/s of the people hits as often as the whole (Waldspurger et al., "Efficient MRC Construction with SHARDS", 2015).
 * @throws OnepassError `startup` when so many pages need more people
 */
export function sampleVisits({ people, qps, scan = 0, seed }: Population, most = 200_000): Visits {
  const durationMs = DAYS * DAY_MS;
  const scale = Math.max(1, (qps * durationMs) / 1000 / most);
  const trace = makeTrace({
    ...usualTrace(DAY_MS),
    ...{ seed, durationMs, qps: qps / scale, people: Math.round(people / scale) },
    ...{ joining: 0, actionsPerPage: 0 },
  });
  const own = visitsOf(trace);
  const random = seededRandom(seed + 1);
  const persons: number[] = [];
  let passing = 0;
  let counted = 0;
  for (const [i, person] of own.entries()) {
    if (i === own.length >> 1) counted = persons.length;
    persons.push(person);
    for (let more = scan; more > 0; more -= 1) if (random() < more) persons.push(-++passing);
  }
  return { persons: Int32Array.from(persons), counted, scale };
}

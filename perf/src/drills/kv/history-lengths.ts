import { seededRandom } from '@onepass/contracts';
import { usualTrace } from '../../kit/load/index.js';
import { sampleVisits } from '../../plan/visits.js';

/**
 * How many actions people have, as in the world that the default release is trained on (training/src/onepass_training/world): their activity is
 * log-normal within bounds, three of ten joined in the last two fifths of the time, and 5,000 of them did 1,204,008 things in all. Seen at the end of that time.
 */
const MEAN = 241;
const JOINED_LATE = 0.3;
const LATE = 0.4;
const SPREAD = 0.5;
const [LEAST_ACTIVITY, MOST_ACTIVITY] = [0.25, 2.5] as const;
/** Of activity: exp(SPREAD * z - SPREAD^2 / 2) has the mean 1, less what the bounds take; late people are there for .8 of the time on average. */
const MEAN_THERE = 1 - (JOINED_LATE * LATE) / 2;

/** Actions of so many people, at least one each; the same seed, the same people. */
export function historyLengths(count: number, seed: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const activity = Math.exp(SPREAD * normal - SPREAD ** 2 / 2);
    const there = random() < JOINED_LATE ? 1 - LATE * random() : 1;
    const share = Math.min(MOST_ACTIVITY, Math.max(LEAST_ACTIVITY, activity)) * there;
    return Math.max(1, Math.round((MEAN * share) / MEAN_THERE));
  });
}

/** The same of people who came in the bench kit's trace, at the end of two days: what they bring, and what they do from page to page. */
export function traceLengths(count: number, seed: number): number[] {
  const { historyLength, actionsPerPage } = usualTrace();
  const pages = new Map<number, number>();
  const visits = sampleVisits({ people: 10_000, qps: 0.25, seed });
  for (const person of visits.persons) pages.set(person, (pages.get(person) ?? 0) + 1);
  const lengths = [...pages.values()].map((visited) => historyLength + actionsPerPage * visited);
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => lengths[Math.floor(random() * lengths.length)]!);
}

/** Of a person with so many actions, the tokens that a user-encoder holds: a window that is full is encoded anew at three quarters of it, and then appended to. */
export function heldTokens(actions: number, window: number): number {
  const shortened = Math.floor(0.75 * window);
  return actions <= window ? actions : shortened + ((actions - window - 1) % (window - shortened + 1));
}

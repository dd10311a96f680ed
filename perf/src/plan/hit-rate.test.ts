import fc from 'fast-check';
import { expect, test } from 'vitest';
import { heldShare, optimalShare } from './hit-rate.js';
import { sampleVisits, type Visits } from './visits.js';

const POPULATION = { people: 40_000, qps: 1, seed: 5 };
const MOST = 20_000;
const visitsOf = (persons: readonly number[]): Visits => ({ persons: Int32Array.from(persons), counted: 0, scale: 1 });

/** Every choice of whom to give up, tried out. */
function bestHits(persons: readonly number[], slots: number, held: readonly number[] = []): number {
  const [person, ...rest] = persons;
  if (person === undefined) return 0;
  const hit = held.includes(person) ? 1 : 0;
  const all = hit ? held : [...held, person];
  const choices = all.length <= slots ? [all] : all.map((gone) => all.filter((one) => one !== gone));
  return hit + Math.max(...choices.map((choice) => bestHits(rest, slots, choice)));
}

test('nobody does better than the optimum, and it is one', () => {
  const visits = fc.array(fc.nat(4), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(visits, fc.integer({ min: 1, max: 3 }), (persons, slots) => {
      const optimal = optimalShare(visitsOf(persons), slots);
      expect(optimal * persons.length).toBeCloseTo(bestHits(persons, slots), 9);
      expect(heldShare(visitsOf(persons), slots)).toBeLessThanOrEqual(optimal + 1e-9);
    }),
    { seed: 9, numRuns: 200 },
  );
});

test('with room for all, everybody who comes again is held', () => {
  const persons = [1, 2, 1, 3, 2, 1];
  expect(heldShare(visitsOf(persons), 3)).toBe(0.5);
  expect(optimalShare(visitsOf(persons), 3)).toBe(0.5);
});

test('more slots hold more, a sample of the people says the same, and a scan takes little from who comes again', () => {
  const visits = sampleVisits(POPULATION, MOST);
  expect(visits.scale).toBeCloseTo(8.64, 2);
  const shares = [200, 800, 3_200].map((slots) => heldShare(visits, Math.round(slots / visits.scale)));
  expect([...shares].sort((a, b) => a - b)).toEqual(shares);
  const half = sampleVisits({ ...POPULATION, seed: 6 }, MOST / 2);
  expect(Math.abs(heldShare(half, Math.round(3_200 / half.scale)) - shares[2]!)).toBeLessThan(0.04);
  const scanned = sampleVisits({ ...POPULATION, scan: 1 }, MOST);
  expect(heldShare(scanned, Math.round(3_200 / visits.scale))).toBeGreaterThan(shares[2]! - 0.1);
});

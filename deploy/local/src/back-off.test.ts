import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backOffMs } from './back-off.js';

test('waits double, with jitter, up to ten seconds', () => {
  expect([0, 1, 2, 3].map((attempt) => backOffMs(attempt, 0))).toEqual([100, 200, 400, 800]);
  expect(backOffMs(1000, 0.999_999)).toBe(10_000);
  fc.assert(
    fc.property(fc.nat(100), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, random) => {
      const wait = backOffMs(attempt, random);
      expect(wait).toBeGreaterThanOrEqual(100);
      expect(wait).toBeLessThanOrEqual(10_000);
    }),
    { seed: 1 },
  );
});

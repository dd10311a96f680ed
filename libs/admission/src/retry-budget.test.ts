import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RetryBudget } from './retry-budget.js';

const OPTIONS = { share: 0.2, minimumPerSecond: 3 };

test('against a backend that fails everything, load grows by a fifth at most', () => {
  fc.assert(
    fc.property(fc.integer({ min: 15, max: 2_000 }), fc.integer({ min: 20, max: 60 }), (perSecond, seconds) => {
      const clock = { now: 1.7e12 };
      const budget = new RetryBudget(OPTIONS, () => clock.now);
      let [calls, retries] = [0, 0];
      for (let call = 0; call < perSecond * seconds; call += 1) {
        clock.now += 1000 / perSecond;
        budget.called();
        calls += 1;
        // Every failure asks again, as often as it may.
        while (budget.take()) retries += 1;
      }
      expect(retries).toBeLessThanOrEqual(0.2 * calls + OPTIONS.minimumPerSecond);
      expect(retries).toBeGreaterThan(0.15 * calls);
      expect(budget.left).toBeGreaterThanOrEqual(0);
    }),
    { seed: 1, numRuns: 25 },
  );
});

test('few calls may be tried again some times a second all the same', () => {
  const clock = { now: 0 };
  const budget = new RetryBudget(OPTIONS, () => clock.now);
  let retries = 0;
  for (; clock.now < 100_000; clock.now += 100) while (budget.take()) retries += 1;
  expect(retries).toBe(300);
});

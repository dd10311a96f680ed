import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Limiter } from './limits.js';

const limits = fc.record({
  requestsPerSecond: fc.double({ min: 0.1, max: 1000, noNaN: true }),
  burst: fc.integer({ min: 1, max: 100 }),
});
const waits = fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 200 });

test('never more than the burst and the rate allow, whatever the moments of the calls', () => {
  fc.assert(
    fc.property(limits, waits, (given, gaps) => {
      const limiter = new Limiter(given, 0);
      const taken: number[] = [];
      let now = 0;
      for (const gap of gaps) {
        now += gap;
        if (limiter.take(now) === undefined) taken.push(now);
      }
      for (const [i, from] of taken.entries()) {
        for (const [j, to] of taken.entries()) {
          if (j < i) continue;
          const allowed = given.burst + ((to - from) / 1000) * given.requestsPerSecond;
          expect(j - i + 1).toBeLessThanOrEqual(allowed + 1e-6);
        }
      }
    }),
    { seed: 9, numRuns: 100 },
  );
});

test('whoever waits as long as told is let in, and not a moment earlier', () => {
  fc.assert(
    fc.property(limits, waits, (given, gaps) => {
      const limiter = new Limiter(given, 0);
      let now = 0;
      for (const gap of gaps) {
        now += gap;
        const refusal = limiter.take(now);
        if (refusal === undefined) continue;
        expect(refusal.reason).toBe('rate_limit');
        expect(limiter.take(now + refusal.retryAfterMs * 0.99)).toBeDefined();
        now += refusal.retryAfterMs + 1e-3;
        expect(limiter.take(now)).toBeUndefined();
      }
    }),
    { seed: 9, numRuns: 100 },
  );
});

test('calls under way are counted; a refused one uses up nothing', () => {
  const limiter = new Limiter({ requestsPerSecond: 1, burst: 3, concurrent: 2 }, 0);
  expect([limiter.take(0), limiter.take(0)]).toEqual([undefined, undefined]);
  for (let i = 0; i < 5; i += 1) expect(limiter.take(0)?.reason).toBe('concurrency_limit');
  limiter.release();
  expect(limiter.take(0)).toBeUndefined();
  limiter.release();
  expect(limiter.take(0)).toEqual({ reason: 'rate_limit', retryAfterMs: 1000 });
});

test('changed limits hold at once and forget nothing', () => {
  const limiter = new Limiter({ requestsPerSecond: 10, burst: 10, concurrent: 5 }, 0);
  for (let i = 0; i < 5; i += 1) limiter.take(0);
  limiter.change({ requestsPerSecond: 10, burst: 2, concurrent: 7 }, 0);
  expect([limiter.take(0), limiter.take(0)]).toEqual([undefined, undefined]);
  expect(limiter.take(0)?.reason).toBe('concurrency_limit');
  limiter.release();
  expect(limiter.take(0)?.reason).toBe('rate_limit');
  limiter.change({}, 0);
  expect(limiter.take(0)).toBeUndefined();
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { agreement, kendallTau } from './agreement.js';

const of = (...values: number[]) => Float64Array.from(values);

test('the same order has 1, the opposite -1, one swap of three a third', () => {
  expect(kendallTau(of(1, 2, 3), of(10, 20, 30))).toBe(1);
  expect(kendallTau(of(1, 2, 3), of(3, 2, 1))).toBe(-1);
  expect(kendallTau(of(1, 2, 3), of(1, 3, 2))).toBeCloseTo(1 / 3);
  expect(kendallTau(of(1, 1, 2), of(1, 2, 3))).toBeCloseTo(2 / Math.sqrt(6));
  expect(kendallTau(of(1, 1), of(2, 2))).toBe(1);
});

test('tau is between -1 and 1 and the same from both sides', () => {
  const pair = fc
    .array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5 })), { minLength: 2, maxLength: 12 })
    .filter((values) => [0, 1].every((side) => new Set(values.map((value) => value[side])).size > 1));
  fc.assert(
    fc.property(pair, (values) => {
      const [left, right] = [of(...values.map(([a]) => a)), of(...values.map(([, b]) => b))];
      const tau = kendallTau(left, right);
      expect(Math.abs(tau)).toBeLessThanOrEqual(1 + 1e-9);
      expect(kendallTau(right, left)).toBeCloseTo(tau);
    }),
  );
});

test('lists are compared by themselves, column by column', () => {
  // Two lists of two candidates with two actions; the second list's second action is in the opposite order.
  const left = { data: Float32Array.of(0.1, 0.5, 0.2, 0.6, 0.3, 0.7, 0.4, 0.8), length: 2, columns: 2 };
  const right = Float32Array.of(0.1, 0.5, 0.2, 0.6, 0.3, 0.8, 0.4, 0.7);
  const found = agreement(left, right);
  expect(found.kendall).toBe(0.5);
  expect(found.worst).toBeCloseTo(0.1);
  expect(found.mean).toBeCloseTo(0.2 / 8);
});

test('a number that is none shows', () => {
  const left = { data: Float32Array.of(0.1, Number.NaN), length: 2, columns: 1 };
  expect(agreement(left, Float32Array.of(0.1, 0.2)).worst).toBeNaN();
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { linearScale, logScale, measuredScale, niceStep } from './scale.js';

const range = { from: 0, to: 100 };
const finite = fc.double({ min: -1e9, max: 1e9, noNaN: true }).map((v) => (Math.abs(v) < 1e-6 ? 0 : v));
const positive = fc.double({ min: 1e-6, max: 1e9, noNaN: true });
const steps = (values: readonly number[]) => values.slice(1).map((v, i) => v - values[i]!);

test('ticks of an even scale are round, evenly apart, not too many, and hold all values between them', () => {
  fc.assert(
    fc.property(fc.array(finite, { maxLength: 20 }), fc.integer({ min: 2, max: 9 }), (values, count) => {
      const { ticks, domain, at } = linearScale(values, { ...range, count });
      const places = ticks.map(({ value }) => value);
      expect(ticks.length).toBeGreaterThanOrEqual(2);
      expect(ticks.length).toBeLessThanOrEqual(count + 2);
      expect(domain).toEqual([places[0], places.at(-1)]);
      const size = domain[1] - domain[0];
      for (const step of steps(places)) expect(step / niceStep(step)).toBeCloseTo(1, 6);
      for (const value of values) {
        expect(at(value)).toBeGreaterThanOrEqual(-1e-6 * size);
        expect(at(value)).toBeLessThanOrEqual(100 + 1e-6 * size);
      }
      expect(new Set(ticks.map(({ text }) => text)).size).toBe(ticks.length);
      expect(ticks.every(({ text }) => !/e|NaN|-0$/.test(text))).toBe(true);
    }),
    { seed: 6 },
  );
});

test('a scale by orders of magnitude keeps order, and its ticks hold all values between them', () => {
  fc.assert(
    fc.property(fc.array(positive, { minLength: 1, maxLength: 20 }), (values) => {
      const { ticks, domain, at } = logScale(values, range);
      expect(ticks.length).toBeGreaterThanOrEqual(2);
      expect(domain[0]).toBeLessThanOrEqual(Math.min(...values) * (1 + 1e-6));
      expect(domain[1]).toBeGreaterThanOrEqual(Math.max(...values) * (1 - 1e-6));
      const places = [...values].sort((a, b) => a - b).map(at);
      expect(steps(places).every((step) => step >= 0)).toBe(true);
      expect(steps(ticks.map(({ value }) => value)).every((step) => step > 0)).toBe(true);
    }),
    { seed: 6 },
  );
});

test('known scales', () => {
  expect(linearScale([0, 43], { ...range, count: 5 }).ticks.map(({ text }) => text)).toEqual([
    '0',
    '10',
    '20',
    '30',
    '40',
    '50',
  ]);
  expect(linearScale([0.1, 0.3], { ...range, count: 2 }).ticks.map(({ value }) => value)).toEqual([0.1, 0.2, 0.3]);
  expect(linearScale([], range).domain).toEqual([0, 1]);
  expect(linearScale([0, Number.NaN], range).domain).toEqual([0, 1]);
  expect(logScale([30, 700], range).ticks.map(({ text }) => text)).toEqual(['20', '50', '100', '200', '500', '1,000']);
  expect(logScale([3, 700], range).ticks.map(({ text }) => text)).toEqual(['3', '10', '30', '100', '300', '1,000']);
});

test('ticks at what was measured leave out texts that would touch', () => {
  const { ticks } = measuredScale([1, 2, 3, 100, 100], { ...range, log: false, room: 20 });
  expect(ticks.map(({ text }) => text)).toEqual(['1', '', '', '100']);
  expect(measuredScale([64, 128, 256], { ...range, log: true, room: 20 }).at(128)).toBeCloseTo(50);
  expect(measuredScale([5], { ...range, log: true, room: 20 }).ticks.length).toBeGreaterThan(1);
  const fromNone = measuredScale([0, 1, 3, 7], { ...range, log: true, room: 20 });
  expect([0, 1, 3, 7].map((n) => Math.round(fromNone.at(n)))).toEqual([0, 33, 67, 100]);
  expect(measuredScale([0], { ...range, log: true, room: 20 }).ticks.length).toBeGreaterThan(1);
});

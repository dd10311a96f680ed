import { expect, test } from 'vitest';
import { Forecast } from './forecast.js';

test('a bucket takes what it usually took, another what its work took in the runs before; at first nothing', () => {
  const forecast = new Forecast<'encode' | 'rank'>();
  expect(forecast.runMs('rank', 'b=1', 100)).toBe(0);
  forecast.ran('rank', 'b=4', 100, 10);
  expect(forecast.runMs('rank', 'b=4', 25)).toBe(10);
  // Four shared it, a quarter of the work each.
  expect(forecast.runMs('rank', 'b=1', 25)).toBe(2.5);
  expect(forecast.shareMs('rank', 25)).toBe(2.5);
  expect(forecast.shareMs('encode', 25)).toBe(0);
  for (let i = 0; i < 100; i++) forecast.ran('rank', 'b=4', 100, 20);
  expect(forecast.runMs('rank', 'b=4', 100)).toBeCloseTo(20, 2);
  expect(forecast.shareMs('rank', 50)).toBeCloseTo(10, 2);
});

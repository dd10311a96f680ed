import { expect, test } from 'vitest';
import { median, percentile } from './statistics.js';

test('the median is the middle value, or the mean of the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([7])).toBe(7);
  expect(median([])).toBeNaN();
});

test('a percentile is a value that was seen', () => {
  const values = Array.from({ length: 1_000 }, (_, i) => 1_000 - i);
  expect([0, 0.5, 0.99, 1].map((share) => percentile(values, share))).toEqual([1, 500, 990, 1_000]);
  expect(percentile([], 0.5)).toBeNaN();
});

import { expect, test } from 'vitest';
import { heldTokens, historyLengths, traceLengths } from './history-lengths.js';

const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;

test("people have as many actions as in the release's world, and as in the trace", () => {
  const lengths = historyLengths(20_000, 1);
  expect(Math.abs(mean(lengths) - 241)).toBeLessThan(10);
  expect(Math.min(...lengths)).toBeLessThan(80);
  expect(Math.max(...lengths)).toBeGreaterThan(500);
  const traced = traceLengths(500, 1);
  expect(Math.min(...traced)).toBe(65);
});

test('a window is held up to its end, then between three quarters of it and its end', () => {
  expect([1, 8, 9, 10, 11, 12].map((actions) => heldTokens(actions, 8))).toEqual([1, 8, 6, 7, 8, 6]);
});

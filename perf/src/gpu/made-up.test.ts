import { expect, test } from 'vitest';
import { madeUpInputs, madeUpNumbers, PARTS } from './made-up.js';

/** training/tests/test_peer.py has these numbers too. */
const KNOWN = [0.35645369, 0.30233049, 0.21598978, -0.41782346];

test('numbers are the same as in Python', () => {
  madeUpNumbers(4, 1, PARTS.candidates, 0.5).forEach((value, i) => {
    expect(value).toBeCloseTo(KNOWN[i]!, 6);
  });
});

test('numbers are even, and differ by seed and part', () => {
  const numbers = madeUpNumbers(10_000, 1, 0, 1);
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  expect(Math.abs(mean)).toBeLessThan(0.02);
  expect(Math.max(...numbers)).toBeGreaterThan(0.99);
  expect(madeUpNumbers(4, 2, 0, 1)).not.toEqual(numbers.slice(0, 4));
  expect(madeUpNumbers(4, 1, 1, 1)).not.toEqual(numbers.slice(0, 4));
});

test('the people of a small batch are the first of a large one', () => {
  const sizes = { n: 5, k: 3, contexts: 1, slates: 2, columns: 7, embedding: 4 };
  const [one, three] = [madeUpInputs({ ...sizes, batch: 1 }, 1), madeUpInputs({ ...sizes, batch: 3 }, 1)];
  for (const name of ['rows', 'context', 'candidates', 'candidateRow'] as const) {
    expect(three[name].length).toBe(3 * one[name].length);
    expect(three[name].slice(0, one[name].length)).toEqual(one[name]);
  }
});

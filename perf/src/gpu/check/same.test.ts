import { expect, test } from 'vitest';
import { Differences, largestOff } from './same.js';

const numbers = (...of: number[]) => Float32Array.from(of);

test('large numbers differ in proportion, what is no number from everything', () => {
  expect(largestOff(numbers(0.5, 100), numbers(0.5, 101))).toBeCloseTo(0.01);
  expect(largestOff(numbers(1), numbers(Number.NaN))).toBeNaN();
  expect(largestOff(numbers(1), numbers(1, 2))).toBeNaN();
});

test('what is not equal in its precision is a complaint', () => {
  const [half, single] = [new Differences('float16'), new Differences('float32')];
  for (const found of [half, single]) found.see('numbers', numbers(0.5), numbers(0.505));
  expect(half).toMatchObject({ complaints: [], says: 'to within 0.0050' });
  expect(single.complaints).toEqual(['numbers are off by 0.0050']);
  half.see('others', numbers(1), numbers(Number.NaN));
  expect(half.complaints).toEqual(['others are no numbers']);
  expect(new Differences('float32').says).toBe('bit for bit');
});

import { expect, test } from 'vitest';
import type { GpuCase, ReadyCase } from './gpu-case.js';
import { measureRounds, runsOf } from './rounds.js';

const CASE: GpuCase = { system: 'onepass', timed: 'rank', batch: 1, rows: 0, attention: 'plain', captured: false };
const EFFORT = { micros: 100, least: 2, most: 10 };

test('short runs are repeated, long ones at least some times', () => {
  expect(runsOf(30, EFFORT)).toBe(3);
  expect(runsOf(0.001, EFFORT)).toBe(10);
  expect(runsOf(1e6, EFFORT)).toBe(2);
});

/** Takes the next of these microseconds at each call. */
function fake(name: string, order: string[], micros: readonly number[], failsAt = Number.NaN): ReadyCase {
  let calls = 0;
  return {
    case: { ...CASE, attention: name },
    async time(runs) {
      order.push(name);
      if (calls === failsAt) throw new Error('broken');
      const value = micros[calls++ % micros.length]!;
      return { deviceMicros: Array(runs).fill(value), wallMicros: Array(runs).fill(2 * value) };
    },
    outputs: async () => new Float32Array(),
  };
}

test('cases take turns, and each round begins with another one', async () => {
  const order: string[] = [];
  const cases = [fake('a', order, [50]), fake('b', order, [20]), fake('c', order, [5])];
  const found = await measureRounds(cases, 3, EFFORT, { progress: () => {}, failed: () => {} });
  expect(order.join('')).toBe('aabbcc' + 'abc' + 'bca' + 'cab');
  expect(found.map(({ rounds }) => rounds)).toEqual(
    [50, 20, 5].map((v) => Array(3).fill({ deviceMicros: v, wallMicros: 2 * v })),
  );
});

test('what fails is told once and left out; the others go on', async () => {
  const order: string[] = [];
  const told: string[] = [];
  const cases = [fake('a', order, [50]), fake('b', order, [20], 3)];
  const found = await measureRounds(cases, 3, EFFORT, {
    progress: () => {},
    failed: (ready, error) => told.push(`${ready.case.attention}: ${(error as Error).message}`),
  });
  expect(told).toEqual(['b: broken']);
  expect(found.map((one) => one.case.attention)).toEqual(['a']);
});

import { expect, test } from 'vitest';
import type { GpuCase, ReadyCase } from './gpu-case.js';
import { Rounds, runsOf } from './rounds.js';

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

function open(more: { endAt?: number; onRound?: (rounds: Rounds) => void } = {}) {
  const told: string[] = [];
  const rounds: Rounds = new Rounds({
    effort: EFFORT,
    endAt: more.endAt,
    progress: (line) => told.push(line),
    failed: (ready, error) => told.push(`${ready.case.attention}: ${(error as Error).message}`),
    onRound: async () => more.onRound?.(rounds),
  });
  return { rounds, told };
}

test('cases take turns, each round begins with another one, and each is there when it is whole', async () => {
  const order: string[] = [];
  const seen: number[] = [];
  const { rounds } = open({ onRound: ({ measured }) => seen.push(...measured.map((one) => one.rounds.length)) });
  await rounds.measure('some', [fake('a', order, [50]), fake('b', order, [20]), fake('c', order, [5])], 3);
  expect(order.join('')).toBe('aabbcc' + 'abc' + 'bca' + 'cab');
  expect(seen).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
  const sorted = rounds.measured.sort((one, other) => (one.case.attention < other.case.attention ? -1 : 1));
  expect(sorted.map((one) => one.rounds)).toEqual(
    [50, 20, 5].map((v) => [0, 1, 2].map((round) => ({ round, deviceMicros: v, wallMicros: 2 * v }))),
  );
});

test('what fails is told once and left out; the others go on', async () => {
  const order: string[] = [];
  const { rounds, told } = open();
  await rounds.measure('some', [fake('a', order, [50]), fake('b', order, [20], 3)], 3);
  expect(told.filter((line) => line.includes('broken'))).toEqual(['b: broken']);
  expect(rounds.measured.map((one) => one.case.attention)).toEqual(['a']);
  expect(rounds.ready.map((one) => one.case.attention)).toEqual(['a']);
});

test('later cases have later rounds, with whom of the earlier ones they are compared', async () => {
  const { rounds } = open();
  const [a, b] = [fake('a', [], [1]), fake('b', [], [2])];
  await rounds.measure('first', [a], 2);
  await rounds.measure('second', [b, a], 1);
  const [first, second] = rounds.measured;
  expect(first!.rounds.map(({ round }) => round)).toEqual([0, 1, 2]);
  expect(second!.rounds.map(({ round }) => round)).toEqual([2]);
});

test('when time is over no round begins', async () => {
  const { rounds, told } = open({ endAt: performance.now() });
  await rounds.measure('some', [fake('a', [], [1])], 7);
  expect(rounds.measured).toEqual([]);
  expect(told).toEqual(['some: no time for more than 0 of 7 rounds']);
});

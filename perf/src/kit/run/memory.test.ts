import { expect, test } from 'vitest';
import type { SystemName } from '../measurements.js';
import { DEFAULT_SHAPE, MAIN_SHAPE, REUSE_SHAPE } from '../report/goals.js';
import { neededMiB, requireMemory } from './memory.js';
import { type Bed, claimBeds } from './plan.js';

const bedAt = (shape: typeof MAIN_SHAPE, systems: readonly SystemName[]): Bed => ({
  ...claimBeds('full', shape, { ...shape, heads: 8, items: 20_000 })[0]!,
  systems,
});

/** Of a system beyond what the bench itself needs. */
const taken = (shape: typeof MAIN_SHAPE, system: SystemName) =>
  neededMiB(bedAt(shape, [system]), shape) - neededMiB(bedAt(shape, []), shape);

test('a system that keeps nothing needs memory for its pools too, and a second encoder for its own', () => {
  // 128 slots of 6.1 MiB, kept or not; four processes or five, weights of 18 MiB twice in two or three of them.
  const [slots, weights] = [128 * 6.09375, 2 * 18];
  expect(taken(MAIN_SHAPE, 'A')).toBeCloseTo(4 * 150 + 2 * weights + slots);
  expect(taken(MAIN_SHAPE, 'C')).toBeCloseTo(4 * 150 + 2 * weights + slots);
  expect(taken(MAIN_SHAPE, 'Bprime')).toBeCloseTo(5 * 150 + 3 * weights + slots);
  expect(taken(MAIN_SHAPE, 'B')).toBeCloseTo(5 * 150 + 3 * weights + 2 * slots);
  expect(taken(MAIN_SHAPE, 'Gkv') - taken(MAIN_SHAPE, 'G')).toBeCloseTo(slots + 6.09375);
});

test('what runs side by side adds up', () => {
  const { systems } = claimBeds('full', DEFAULT_SHAPE, undefined)[0]!;
  const apart = systems.reduce((sum, system) => sum + taken(MAIN_SHAPE, system), 0);
  const together = neededMiB(bedAt(MAIN_SHAPE, systems), MAIN_SHAPE) - neededMiB(bedAt(MAIN_SHAPE, []), MAIN_SHAPE);
  expect(together).toBeCloseTo(apart);
});

test('a machine without the memory is told what is needed, what there is, and what would need less', () => {
  const both = bedAt(REUSE_SHAPE, ['A', 'B']);
  const needed = neededMiB(both, REUSE_SHAPE);
  expect(() => requireMemory(both, REUSE_SHAPE, needed)).not.toThrow();
  expect(() => requireMemory(both, REUSE_SHAPE, 4_000)).toThrow(
    /^this machine is too small for the shape asked for \(n=992, k=656, L=12, d=512\): A, B side by side need about 9\.\d GiB \(a person's KV takes 46\.9 MiB\), and 3\.9 GiB are free; name fewer with --systems$/,
  );
  expect(() => requireMemory(bedAt(REUSE_SHAPE, ['A']), REUSE_SHAPE, 4_000)).toThrow(/: A needs about .* are free$/);
  expect(() => requireMemory(bedAt(REUSE_SHAPE, []), REUSE_SHAPE, 1_000)).toThrow(/: timing the graphs needs about/);
});

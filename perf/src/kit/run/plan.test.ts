import { expect, test } from 'vitest';
import { SYSTEMS } from '../measurements.js';
import { DEFAULT_SHAPE, MAIN_SHAPE, REUSE_SHAPE } from '../report/goals.js';
import { parseShape } from '../shape/shape.js';
import { type Bed, claimBeds, sweepBeds } from './plan.js';

const shapesOf = (beds: readonly Bed[]) => beds.map(({ shape }) => shape);

test('a full run begins with the claims, at the shapes that goals are set for', () => {
  const beds = claimBeds('full', DEFAULT_SHAPE, undefined).filter(({ alone }) => alone);
  expect(shapesOf(beds)).toEqual([MAIN_SHAPE, DEFAULT_SHAPE, REUSE_SHAPE]);
  expect(beds.map(({ systems }) => systems)).toEqual([SYSTEMS, SYSTEMS, []]);
});

test('smaller runs have the release at hand alone, and a shape that is asked for nothing else', () => {
  expect(shapesOf(claimBeds('quick', DEFAULT_SHAPE, undefined))).toEqual([DEFAULT_SHAPE]);
  expect(shapesOf(claimBeds('full', DEFAULT_SHAPE, parseShape('n=64,k=32,L=2,d=64')))).toEqual([
    { n: 64, k: 32, layers: 2, width: 64 },
  ]);
});

test('every system keeps all its people where it is to be at its best, B′ in half of the slots too', () => {
  for (const { people, slots, alone } of claimBeds('full', DEFAULT_SHAPE, undefined)) {
    if (alone) expect(slots / 2).toBeGreaterThanOrEqual(people);
  }
});

test('who was away for long has lost the slot where people come back, in A and in B′', () => {
  const beds = claimBeds('full', DEFAULT_SHAPE, undefined).filter(({ loads }) => loads[0]?.returning !== undefined);
  expect(beds.length).toBe(2);
  for (const { people, slots } of beds) expect(slots).toBeLessThan(people / 4);
});

test('where slots are large there are fewer people', () => {
  const people = (shape: string) => claimBeds('full', DEFAULT_SHAPE, parseShape(shape))[0]!.people;
  expect(people('n=512,k=400,L=6,d=256')).toBe(64);
  expect(people('n=992,k=656,L=12,d=512')).toBe(21);
  expect(people('n=8192,k=400,L=96,d=4096')).toBe(16);
});

test('each sweep of the report is made, no point of it twice, with A in all of them', () => {
  const beds = [...claimBeds('full', DEFAULT_SHAPE, undefined), ...sweepBeds(DEFAULT_SHAPE, 100)].filter(
    ({ alone, shape }) => !alone && shape.width === DEFAULT_SHAPE.width,
  );
  const points = beds.flatMap(({ loads }) => loads.map(({ sweep }) => `${sweep?.name} ${sweep?.value}`));
  expect(new Set(points).size).toBe(points.length);
  expect([...new Set(beds.flatMap(({ loads }) => loads.map(({ sweep }) => sweep?.name)))].sort()).toEqual([
    'actions',
    'candidates',
    'cells',
    'history',
    'kv_memory',
    'rate',
    'returning',
  ]);
  expect(beds.every(({ systems }) => systems.includes('A'))).toBe(true);
});

test('a machine that answers next to nothing still gets whole rates', () => {
  for (const { loads } of sweepBeds(DEFAULT_SHAPE, 0.4)) {
    for (const { load } of loads) if (load.kind !== 'closed') expect(load.qps).toBeGreaterThanOrEqual(1);
  }
});

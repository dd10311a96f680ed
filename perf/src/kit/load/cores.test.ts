import { expect, test } from 'vitest';
import { parseCores, pinning, splitCores } from './cores.js';

const cores = (count: number) => Array.from({ length: count }, (_, core) => [core, core + count]);

test('the sender gets whole physical cores, a quarter of them; where there are few, none', () => {
  expect(splitCores(cores(3))).toBeUndefined();
  expect(splitCores(cores(4))).toEqual({ servers: [0, 4, 1, 5, 2, 6], sender: [3, 7] });
  expect(splitCores(cores(9))?.sender).toEqual([7, 16, 8, 17]);
});

test('every core that this process may use is in the split, once', () => {
  const split = splitCores();
  if (split === undefined) return;
  const all = [...split.servers, ...split.sender];
  expect(new Set(all).size).toBe(all.length);
});

test('cores as the kernel lists them and as taskset takes them', () => {
  expect(parseCores('0-2,7,9-9')).toEqual([0, 1, 2, 7, 9]);
  expect(parseCores('')).toEqual([]);
  expect(pinning([3, 7])).toEqual(['taskset', '-c', '3,7']);
  expect(pinning(undefined)).toEqual([]);
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allowedCores, parseCores, physicalCores, pinning, pinProcess, splitCores } from './cores.js';

/** As kernels number the two threads of `count` physical cores: far apart, or side by side. */
const NUMBERINGS = {
  far: (count: number) => (core: number) => `${core % count},${(core % count) + count}`,
  near: () => (core: number) => `${core - (core % 2)}-${core - (core % 2) + 1}`,
};
const first = (count: number) => Array.from({ length: count }, (_, core) => core);
const cores = (count: number) => physicalCores(first(2 * count), NUMBERINGS.far(count));

test.each([
  { logical: 4, kept: undefined },
  { logical: 8, kept: { far: [3, 7], near: [6, 7] } },
  { logical: 16, kept: { far: [6, 14, 7, 15], near: [12, 13, 14, 15] } },
  { logical: 32, kept: { far: [12, 28, 13, 29, 14, 30, 15, 31], near: [24, 25, 26, 27, 28, 29, 30, 31] } },
])('of $logical logical cores in pairs the sender has $kept', ({ logical, kept }) => {
  for (const numbering of ['far', 'near'] as const) {
    const split = splitCores(physicalCores(first(logical), NUMBERINGS[numbering](logical / 2)));
    expect(split?.sender).toEqual(kept?.[numbering]);
    if (split !== undefined) expect([...split.servers, ...split.sender].sort((a, b) => a - b)).toEqual(first(logical));
  }
});

test.each([
  [4, [3]],
  [8, [6, 7]],
  [16, [12, 13, 14, 15]],
])('of %i cores without siblings the sender has %j', (count, kept) => {
  expect(splitCores(physicalCores(first(count), String))?.sender).toEqual(kept);
});

test('a core whose sibling this process may not use is a core all the same', () => {
  expect(physicalCores([0, 1, 2, 4, 5], NUMBERINGS.far(4))).toEqual([[0, 4], [1, 5], [2]]);
});

test('three physical cores are too few to keep one for the sender; of nine it has two', () => {
  expect(splitCores(cores(3))).toBeUndefined();
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

/** Of every thread of a process. */
const runsOn = (pid: number) => readdirSync(`/proc/${pid}/task`).map((task) => allowedCores(`${pid}/task/${task}`));

test('a child that is started pinned runs there with all its threads, and knows no other cores', async () => {
  const last = allowedCores().at(-1)!;
  const program = "console.log(require('node:os').availableParallelism()); setInterval(() => {}, 1000)";
  const [command, ...args] = [...pinning([last]), process.execPath, '-e', program];
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await once(child.stdout, 'data');
  const seen = runsOn(child.pid!);
  child.kill();
  await once(child, 'exit');
  expect(String(said)).toBe('1\n');
  expect(seen.length).toBeGreaterThan(1);
  expect(new Set(seen.map(String))).toEqual(new Set([String(last)]));
});

test('a process that runs is moved with all its threads; a core that is not there is named', async () => {
  const last = allowedCores().at(-1)!;
  const child = spawn(process.execPath, ['-e', "console.log('up'); setInterval(() => {}, 1000)"]);
  await once(child.stdout, 'data');
  pinProcess(child.pid!, [last]);
  expect(new Set(runsOn(child.pid!).map(String))).toEqual(new Set([String(last)]));
  expect(() => pinProcess(child.pid!, [4095])).toThrow(`process ${child.pid} could not be pinned to cores 4095`);
  child.kill();
  await once(child, 'exit');
});

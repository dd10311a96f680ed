import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Drill } from './drill.js';
import { runDrills } from './run-drills.js';

let folder: string;
let printed: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-drills-'));
  printed = [];
  const keep = (line: unknown) => void printed.push(String(line));
  vi.spyOn(console, 'log').mockImplementation(keep);
  vi.spyOn(console, 'error').mockImplementation(keep);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const drill = (name: string, numbers: Record<string, number>): Drill => ({
  name,
  says: `tries ${name}`,
  run: async () => numbers,
});
const summary = async () => JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8'));

test('numbers replace those of the same name and leave the others', async () => {
  await runDrills([], { drills: [drill('a', { recovery_seconds: 9, other: 1 })], folder });
  const code = await runDrills([], { drills: [drill('a', { recovery_seconds: 2 })], folder });
  expect(code).toBe(0);
  expect(await summary()).toMatchObject({ recovery_seconds: { value: 2 }, other: { value: 1 } });
});

test('a promise that was not kept is said and is exit code 1; a smoke run judges and writes nothing', async () => {
  const drills = [drill('a', { recovery_seconds: 3.5 })];
  expect(await runDrills([], { drills, folder })).toBe(1);
  expect(printed.join('\n')).toMatch(/recovery_seconds +3\.5 +goal <= 3: NOT MET/);
  await rm(join(folder, 'summary.json'));
  expect(await runDrills(['--smoke'], { drills, folder })).toBe(0);
  await expect(summary()).rejects.toThrow('ENOENT');
});

test('one drill that cannot be run does not keep the next from it', async () => {
  const broken: Drill = { name: 'broken', says: 'fails', run: async () => Promise.reject(new Error('no tool')) };
  expect(await runDrills([], { drills: [broken, drill('b', { b_number: 1 })], folder })).toBe(1);
  expect(await summary()).toHaveProperty('b_number');
});

test('only those named; a name that is none is one sentence', async () => {
  const drills = [drill('a', { a_number: 1 }), drill('b', { b_number: 1 })];
  expect(await runDrills(['b'], { drills, folder })).toBe(0);
  expect(Object.keys(await summary())).toEqual(['b_number']);
  expect(await runDrills(['c'], { drills, folder })).toBe(1);
  expect(printed).toContain('there is no drill "c"; there are: a, b');
});

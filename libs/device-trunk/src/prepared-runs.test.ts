import { startupError } from '@onepass/errors';
import type { PreparedRun } from '@onepass/inference';
import { expect, test } from 'vitest';
import { PreparedRuns } from './prepared-runs.js';

/** A device with so much memory, on which a run takes as many bytes as its size says. */
function device(bytes: number, most = 10, limit = 1_000) {
  const open = new Set<number>();
  const taken = () => [...open].reduce((sum, size) => sum + size, 0);
  const prepared: number[] = [];
  const prepare = async (size: number): Promise<PreparedRun> => {
    prepared.push(size);
    if (taken() + size > bytes) throw startupError(`no memory for ${size}`);
    open.add(size);
    return { bytes: size, close: () => open.delete(size), run: () => Promise.reject(new Error('not run here')) };
  };
  const runs = new PreparedRuns(prepare, { most, bytes: limit });
  const use = async (size: number) => (await runs.use(`${size}`, size)).done();
  return { runs, open, prepared, use };
}

test('is made once, however many ask for it at one time', async () => {
  const { runs, prepared, use } = device(100);
  await Promise.all([use(10), use(10), use(20)]);
  await use(10);
  expect(prepared).toEqual([10, 20]);
  expect([...runs.ready()]).toEqual([20, 10]);
  expect(runs.stats).toEqual({ kept: 2, bytes: 30, made: 2, dropped: 0 });
});

test('those used longest ago go, by number and by bytes, and never one in use', async () => {
  const { open, runs, use } = device(1_000, 3, 100);
  const held = await runs.use('10', 10);
  for (const size of [20, 30]) await use(size);
  await use(20);
  await use(5);
  expect([...open]).toEqual([10, 20, 5]);
  await use(80);
  expect([...open]).toEqual([10, 5, 80]);
  held.done();
  held.done();
  await use(60);
  expect([...open]).toEqual([60]);
});

test('where the device has no memory, what nobody uses is given back first; when there is nothing, it fails and the next may go well', async () => {
  const { open, runs, use } = device(100);
  const held = await runs.use('60', 60);
  await use(30);
  await use(35);
  expect([...open]).toEqual([60, 35]);
  await expect(use(50)).rejects.toThrow('no memory for 50');
  held.done();
  await use(50);
  expect([...open]).toEqual([50]);
  runs.close();
  expect([...open]).toEqual([]);
});

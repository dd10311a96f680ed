import { startupError } from '@onepass/errors';
import { DeviceFault, type PreparedRun } from '@onepass/inference';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PreparedRuns } from './prepared-runs.js';

/** Of a run that fails whatever room there is. */
const BROKEN = 99;

/** A device with so much memory, on which a run takes as many bytes as its size says. */
function device(bytes: number, most = 10, limit = 1_000, captures = false) {
  const open = new Set<number>();
  const taken = () => [...open].reduce((sum, size) => sum + size, 0);
  const prepared: number[] = [];
  const prepare = async (size: number, capture: boolean): Promise<PreparedRun> => {
    const isCaptured = captures && capture;
    prepared.push(size);
    if (size === BROKEN) throw startupError('it does not run', new DeviceFault('a kernel of its own'));
    if (taken() + size > bytes) throw startupError(`no memory for ${size}`, new DeviceFault('out of memory'));
    open.add(size);
    const run = () => Promise.reject(new Error('not run here'));
    return { bytes: size, isCaptured, close: () => open.delete(size), run };
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
  expect(runs.stats).toEqual({ kept: 2, bytes: 30, made: 2, captured: 0, dropped: 0 });
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
  await runs.close();
  expect([...open]).toEqual([]);
});

test('what is captured is never given back: no more than a share of all is, and it stays while others come and go', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 60 }), async (sizes) => {
      const { runs, use, open } = device(1e6, 8, 1e6, true);
      for (const size of sizes) await use(size);
      const distinct = [...new Set(sizes)];
      expect(runs.stats.captured).toBe(Math.min(distinct.length, 6));
      for (const size of distinct.slice(0, 6)) expect(open).toContain(size);
    }),
    { seed: 1, numRuns: 100 },
  );
});

test('what fails for another reason than memory costs nobody else their run', async () => {
  const { open, use } = device(100);
  for (const size of [10, 20]) await use(size);
  await expect(use(BROKEN)).rejects.toThrow('it does not run');
  expect([...open]).toEqual([10, 20]);
});

test('what is prepared while all are closed is closed too', async () => {
  const { open, runs, use } = device(100);
  const late = [use(10), use(20)];
  const closed = runs.close();
  for (const outcome of await Promise.allSettled(late)) expect(outcome).toMatchObject({ status: 'rejected' });
  await closed;
  expect([...open]).toEqual([]);
  await expect(use(10)).rejects.toMatchObject({ kind: 'unavailable' });
});

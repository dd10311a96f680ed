import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { measurement, RUN } from './fixture.suite.js';
import { MAIN_SHAPE } from './goals.js';
import { earlierFindings, keyOf, openStore, type Subject } from './store.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-store-'));
});
afterEach(() => rm(folder, { recursive: true }));

const file = () => join(folder, 'measurements.jsonl');
const subject: Subject = {
  kind: 'measurement',
  release: RUN.releases[0]!.id,
  shape: MAIN_SHAPE,
  system: 'A',
  round: 1,
};

async function storeWith(rounds: number) {
  const store = await openStore(folder, RUN);
  for (let round = 1; round <= rounds; round += 1) {
    const key = store.keyOf({ ...subject, round });
    await store.append('measurement', key, { ...measurement('A', 1, round), key });
  }
  return store;
}

test('a run goes on where it was cut', async () => {
  const cut = await storeWith(3);
  await cut.close();
  const store = await openStore(folder, RUN);
  expect(store.size).toBe(3);
  expect(store.has(store.keyOf({ ...subject, round: 3 }))).toBe(true);
  expect(store.has(store.keyOf({ ...subject, round: 4 }))).toBe(false);
  expect(store.findings().measurements.map((m) => m.round)).toEqual([1, 2, 3]);
  expect(store.findings().partial).toBe(true);
  await store.close();
});

test('wherever a killed run cut the last line, the lines before it are kept and what follows is whole', async () => {
  await (await storeWith(3)).close();
  const whole = await readFile(file());
  const lastLine = whole.lastIndexOf('\n', whole.length - 2) + 1;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: lastLine + 1, max: whole.length - 1 }), async (end) => {
      await rm(file());
      await appendFile(file(), whole.subarray(0, end));
      const store = await openStore(folder, RUN);
      expect(store.findings().measurements.map((m) => m.round)).toEqual([1, 2]);
      expect(store.findings().notes.join()).toContain('1 line of the findings could not be read');
      await store.append('pure', store.keyOf({ ...subject, kind: 'pure' }), pure());
      await store.close();
      const again = await openStore(folder, RUN);
      expect(again.findings().measurements).toHaveLength(2);
      expect(again.findings().pure).toEqual([pure()]);
      expect(again.findings().notes).toEqual([]);
      await again.close();
    }),
    { seed: 6, numRuns: 20 },
  );
});

const pure = () => ({
  round: 1,
  shape: MAIN_SHAPE,
  encodeAll: 40,
  append: 1,
  retrieveHead: 0.1,
  rankOnKv: 32,
  rankFromScratch: 71,
  search: 1,
});

test('a number that is none is still none when it is read again', async () => {
  const store = await openStore(folder, RUN);
  await store.append('pure', store.keyOf({ ...subject, kind: 'pure' }), { ...pure(), search: Number.NaN });
  await store.close();
  const again = await openStore(folder, RUN);
  expect(again.findings().pure[0]?.search).toBe(Number.NaN);
  await again.close();
});

test('another machine, setting, version or release begins anew and leaves what is there', async () => {
  await (await storeWith(2)).close();
  const others = [
    { ...RUN, machine: { ...RUN.machine, cores: 64 } },
    { ...RUN, settings: { ...RUN.settings, threads: '2' } },
    { ...RUN, versions: { ...RUN.versions, ghz: 'v0.121.0' } },
    { ...RUN, releases: [{ ...RUN.releases[0]!, id: 'r-other' }] },
  ];
  for (const other of others) {
    const store = await openStore(folder, other);
    expect(store.size).toBe(0);
    expect(store.findings().notes.join()).toContain('2 findings of another machine');
    await store.close();
  }
  expect((await readFile(file(), 'utf8')).trim().split('\n')).toHaveLength(2);
});

test('a whole run is not partial, and is put aside when the next begins', async () => {
  const store = await storeWith(2);
  await store.complete();
  expect(store.findings().partial).toBe(false);
  await store.close();
  const next = await openStore(folder, RUN);
  expect(next.size).toBe(0);
  await next.close();
  expect(await readdir(folder)).toEqual(['measurements-1.jsonl', 'measurements.jsonl']);
  expect((await earlierFindings(folder, RUN)).map((run) => run.measurements.length)).toEqual([2]);
});

test('putting a run aside, whole or by wish, leaves another that was cut where it can go on', async () => {
  const quick = { ...RUN, settings: { ...RUN.settings, seconds: '1' } };
  await (await storeWith(2)).close();
  const other = await openStore(folder, quick);
  await other.append('pure', other.keyOf({ ...subject, kind: 'pure' }), pure());
  await other.complete();
  await other.close();
  await (await openStore(folder, quick)).close();
  const cut = await openStore(folder, RUN);
  expect(cut.size).toBe(2);
  await cut.close();
  const fresh = await openStore(folder, RUN, { fresh: true });
  expect(fresh.size).toBe(0);
  await fresh.close();
  expect((await earlierFindings(folder, quick)).map((run) => run.pure)).toEqual([[pure()]]);
  expect(await earlierFindings(folder, RUN)).toEqual([]);
});

test('the order of settings does not matter to a key, every part of the subject does', () => {
  const settings = Object.fromEntries(Object.entries(RUN.settings).reverse());
  expect(keyOf({ ...RUN, settings }, subject)).toBe(keyOf(RUN, subject));
  const different: Subject[] = [
    { ...subject, kind: 'pure' },
    { ...subject, system: 'B' },
    { ...subject, round: 2 },
    { ...subject, shape: { ...MAIN_SHAPE, n: 1 } },
    { ...subject, load: { kind: 'closed', concurrency: 2 } },
    { ...subject, load: { kind: 'open', qps: 2 } },
    { ...subject, sweep: { name: 'history', value: 2 } },
    { ...subject, detail: 'gateway' },
  ];
  expect(new Set([subject, ...different].map((s) => keyOf(RUN, s))).size).toBe(different.length + 1);
});

test('a folder that cannot be is refused in one sentence', async () => {
  await appendFile(join(folder, 'file'), '');
  await expect(openStore(join(folder, 'file'), RUN)).rejects.toThrow(/measurements\.jsonl cannot be opened: /);
});

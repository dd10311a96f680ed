import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unavailable } from '@onepass/errors';
import { openLmdbSlates, type Slate, type SlateStore } from '@onepass/history';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SlateWriter } from './slate-writer.js';

const ADA = 'a'.repeat(32);
const BEA = 'b'.repeat(32);
const directory = mkdtempSync(join(tmpdir(), 'onepass-slate-writer-'));
const lmdb = openLmdbSlates(directory);

/** The real store behind a door that tests hold shut, or that says that the store is down. */
let door: (slates: readonly Slate[]) => Promise<void>;
let writes: number[];
const store: SlateStore = {
  ...lmdb,
  get: (person, slateId) => lmdb.get(person, slateId),
  record: async (slates) => {
    writes.push(slates.length);
    await door(slates);
    await lmdb.record(slates);
  },
};
let measurements: Measurements;
beforeEach(() => {
  door = async () => {};
  writes = [];
  measurements = new Measurements();
});
afterEach(() => Promise.all([lmdb.forget(ADA), lmdb.forget(BEA)]));
afterAll(async () => {
  await lmdb.close();
  rmSync(directory, { recursive: true });
});

const writerOf = (capacity?: number) =>
  new SlateWriter({ store, logger: silentLogger, measurements, ...(capacity !== undefined && { capacity }) });
const outcome = (name: string) => measurements.snapshot()[`onepass.slates{onepass.slate.outcome="${name}"}`] ?? 0;
const pending = () => measurements.snapshot()['onepass.slates.pending'];

function slate(slateId: string, person: string): Slate {
  const about = { relatedItemIds: [], queryText: undefined, queryEmbedding: undefined, features: {} };
  const made = { releaseId: 'r', foreign: false, ...about };
  const history = { historySequence: 0, historyHash: 0n };
  return { slateId, person, surface: 'home', timeMs: 1, ...history, ...made, actions: [], degraded: [], items: [] };
}

test('slates that come together are one write, behind their pages', async () => {
  const writer = writerOf();
  for (let i = 0; i < 300; i++) writer.offer(slate(`s${i}`, ADA), 1);
  expect(writes).toEqual([]);
  await vi.waitFor(() => expect(outcome('recorded')).toBe(300));
  expect(writes).toEqual([256, 44]);
  expect(pending()).toBe(0);
});

test('a slate is found before and while it is written', async () => {
  let open!: () => void;
  const held = new Promise<void>((resolve) => {
    open = resolve;
  });
  door = () => held;
  const writer = writerOf();
  writer.offer(slate('s1', ADA), 1);
  const found = [writer.find(ADA, 's1'), writer.find(ADA, 's1'), writer.find(BEA, 's1')];
  open();
  expect((await Promise.all(found)).map((one) => one?.slateId)).toEqual(['s1', 's1', undefined]);
  expect(writes).toEqual([1]);
});

test('a store that is down is tried again; beyond the capacity the oldest are dropped and counted', async () => {
  door = async () => {
    throw unavailable('down');
  };
  const writer = writerOf(4);
  for (let i = 0; i < 3; i++) writer.offer(slate(`s${i}`, ADA), 1);
  await expect(writer.find(ADA, 's0')).rejects.toThrow('down');
  for (let i = 3; i < 6; i++) writer.offer(slate(`s${i}`, ADA), 1);
  expect([outcome('dropped'), pending()]).toEqual([2, 4]);
  door = async () => {};
  await vi.waitFor(() => expect(outcome('recorded')).toBe(4), { timeout: 5_000 });
  expect(await writer.find(ADA, 's1')).toBeUndefined();
  expect(await writer.find(ADA, 's2')).toMatchObject({ slateId: 's2' });
});

test('what the store cannot take is dropped, not tried for ever', async () => {
  const writer = writerOf();
  const bad = { ...slate('s1', ADA), items: [{ itemId: 'i', position: 0, utility: 0, probabilities: [1] }] };
  writer.offer(bad, 1);
  await vi.waitFor(() => expect(outcome('dropped')).toBe(1));
  expect(pending()).toBe(0);
});

test('stopping writes what waits, but waits no longer than it may', async () => {
  const writer = writerOf();
  writer.offer(slate('s1', ADA), 1);
  await writer.stop(1_000);
  expect(await lmdb.get(ADA, 's1')).toMatchObject({ slateId: 's1' });
  door = () => new Promise(() => {});
  const stuck = writerOf();
  stuck.offer(slate('s2', ADA), 1);
  await stuck.stop(10);
  expect(outcome('dropped')).toBe(1);
});

test('forgetting drops what waits, what is in flight, and what comes of requests that began before', async () => {
  let fail!: () => void;
  const held = new Promise<void>((_, reject) => {
    fail = () => reject(unavailable('down'));
  });
  door = () => held;
  const writer = writerOf();
  writer.offer(slate('s1', ADA), 1);
  const found = expect(writer.find(ADA, 's1')).rejects.toThrow('down');
  writer.offer(slate('s2', ADA), 1);
  writer.offer(slate('s3', BEA), 1);
  const began = Date.now();
  const forgotten = writer.forget(ADA, async () => {
    expect(writes).toEqual([1]);
    writer.offer(slate('s4', ADA), Date.now());
    await lmdb.forget(ADA);
  });
  fail();
  await found;
  await forgotten;
  door = async () => {};
  writer.offer(slate('s5', ADA), began);
  writer.offer(slate('s6', ADA), Date.now() + 1);
  await vi.waitFor(() => expect(outcome('recorded')).toBe(2), { timeout: 5_000 });
  const slates = await Promise.all(['s1', 's2', 's4', 's5', 's6'].map((id) => lmdb.get(ADA, id)));
  expect(slates.map((one) => one?.slateId)).toEqual([undefined, undefined, undefined, undefined, 's6']);
  expect(await lmdb.get(BEA, 's3')).toBeDefined();
});

test('of two that forget a person at once, the one that ends first lets nothing through', async () => {
  const writer = writerOf();
  let end!: () => void;
  const held = new Promise<void>((resolve) => {
    end = resolve;
  });
  const longer = writer.forget(ADA, () => held);
  await writer.forget(ADA, async () => {});
  writer.offer(slate('s1', ADA), Date.now() + 1);
  expect(pending()).toBe(0);
  end();
  await longer;
  writer.offer(slate('s2', ADA), Date.now() + 1);
  expect(pending()).toBe(1);
});

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FakeEngine } from '@onepass/inference';
import type { Logger } from '@onepass/telemetry';
import { afterAll, expect, test, vi } from 'vitest';
import { MadeUpCell, SHAPE } from './cell.suite.js';
import { openCodec } from './codec.js';
import { WARM_CODECS } from './entry.js';
import { emptyTensors, newPerson } from './made-up.suite.js';
import type { WarmStore } from './store.js';
import type { WarmTier } from './warm-tier.js';

const cell = new MadeUpCell();
afterAll(() => cell.close());

const written = (tier: WarmTier, count = 1) => vi.waitFor(() => expect(tier.stats().writes).toBe(count), 10_000);
const closed = (tier: WarmTier) => tier.close({ flushMs: 10_000 });

test.each(WARM_CODECS)(
  '%s: what was offered is found by the next cell, and restored as far as it goes',
  async (codecName) => {
    const directory = cell.newDirectory();
    const person = newPerson();
    const slot = cell.fill(person, 7, 3);
    const before = await cell.openTier({ directory, codecName });
    before.offer(person);
    await closed(before);
    expect(before.stats()).toMatchObject({ writes: 1, entries: 1, waiting: 0 });
    expect(cell.leased).toBe(0);

    const after = await cell.openTier({ directory, codecName });
    expect(await after.find(newPerson())).toBeUndefined();
    const entry = (await after.find(person))!;
    expect(entry).toMatchObject({ content: slot.content, lastMs: slot.lastMs, exact: codecName === 'f32' });
    const into = emptyTensors(SHAPE, 9);
    await entry.restore(into, {});
    for (const [index, tensor] of [...into.keys, ...into.values].entries()) {
      const was = [...slot.tensors.keys, ...slot.tensors.values][index]!;
      const numbers = 7 * SHAPE.width;
      const off = tensor.subarray(0, numbers).map((value, i) => Math.abs(value - was[i]!));
      expect(Math.max(...off)).toBeLessThanOrEqual({ f32: 0, f16: 2 ** -12, i8: 1 / 254 + 1e-6 }[codecName]);
      expect(tensor.subarray(numbers).every((value) => value === 9)).toBe(true);
    }
    expect(after.stats().finds).toMatchObject({ hit: 1, absent: 1 });
    await closed(after);
  },
);

test('a person who is offered again and again is written once, as they are then', async () => {
  const tier = await cell.openTier({ quietMs: 30 });
  const person = newPerson();
  for (let turn = 1; turn <= 16; turn++) {
    cell.fill(person, turn, turn);
    tier.offer(person);
  }
  expect(tier.stats().waiting).toBe(1);
  await written(tier);
  expect((await tier.find(person))!.content.length).toBe(16);
  await closed(tier);
});

test('of more persons than may wait, the one that waited longest is dropped and counted', async () => {
  const directory = cell.newDirectory();
  const tier = await cell.openTier({ directory, quietMs: 60_000, maxWaiting: 3 });
  const persons = Array.from({ length: 5 }, newPerson);
  for (const person of persons) {
    cell.fill(person);
    tier.offer(person);
  }
  expect(tier.stats()).toMatchObject({ waiting: 3, dropped: { queue_full: 2 } });
  await closed(tier);
  expect(tier.stats()).toMatchObject({ writes: 3, entries: 3, waiting: 0 });
  expect(cell.filesIn(directory).filter((name) => persons.slice(0, 2).some((first) => name.includes(first)))).toEqual(
    [],
  );
});

/** A store that keeps nothing and tells what is asked of it. */
function aStore(write: WarmStore['write']): WarmStore {
  return {
    read: async () => undefined,
    write,
    drop: async () => {},
    forget: async () => {},
    usage: () => ({ entries: 0, bytes: 0 }),
    restMs: 0,
    close: async () => {},
  };
}

test('one at a time, its lease ended before it is written, and no faster than the rate', async () => {
  const times: number[] = [];
  let writing = 0;
  const store = aStore(async (_, entry) => {
    times.push(performance.now());
    expect([cell.leased, ++writing]).toEqual([0, 1]);
    await new Promise((resolve) => setImmediate(resolve));
    writing--;
    expect(entry.length).toBe(256 + 4 * 5 * 8 * 4);
    return 'written';
  });
  // An entry each 50 ms.
  const bytesPerSecond = (256 + 4 * 5 * 8 * 4) * 20;
  const tier = await cell.openTier({ store, writing: { quietMs: 0, maxWaiting: 100, bytesPerSecond } });
  for (let i = 0; i < 4; i++) {
    const person = newPerson();
    cell.fill(person);
    tier.offer(person);
  }
  await written(tier, 4);
  expect(times[3]! - times[0]!).toBeGreaterThan(145);
  await closed(tier);
});

test('what cannot be written is counted by why, and costs nobody anything', async () => {
  const warnings: string[] = [];
  const logger = { warn: (_: object, sentence: string) => warnings.push(sentence) } as unknown as Logger;
  let answer: () => Promise<'written' | 'full'> = async () => 'full';
  const tier = await cell.openTier({ store: aStore(() => answer()), logger });
  const drop = (why: string) => vi.waitFor(() => expect(tier.stats().dropped).toMatchObject({ [why]: 1 }), 10_000);
  const person = newPerson();
  tier.offer(person);
  await drop('no_slot');
  cell.fill(person, 0);
  tier.offer(person);
  await drop('short');
  cell.fill(person).tensors.values[1]![3] = Number.NaN;
  tier.offer(person);
  await drop('not_finite');
  cell.fill(person);
  tier.offer(person);
  await drop('store_full');
  answer = () => Promise.reject(new Error('broken'));
  tier.offer(person);
  await drop('store_failed');
  expect(warnings).toHaveLength(1);
  expect(cell.leased).toBe(0);
  await closed(tier);
  tier.offer(person);
  expect(tier.stats()).toMatchObject({ writes: 0, dropped: { closed: 1 } });
});

test('a graph run that fails is a drop, and the lease ends', async () => {
  const engine = new FakeEngine({
    'f32-encode.onnx': {
      inputs: [{ name: 'tensor', shape: ['n', 'w'] }],
      outputs: [
        { name: 'packed', shape: ['n', 'w'] },
        { name: 'proof', shape: [] },
      ],
      run: () => Promise.reject(new Error('no')),
    },
  });
  const tier = await cell.openTier({ codec: await openCodec('f32', engine, SHAPE) });
  const person = newPerson();
  cell.fill(person);
  tier.offer(person);
  await vi.waitFor(() => expect(tier.stats().dropped.encode_failed).toBe(1));
  expect(cell.leased).toBe(0);
  await closed(tier);
});

async function tierWithEntry() {
  const directory = cell.newDirectory();
  const person = newPerson();
  cell.fill(person);
  const tier = await cell.openTier({ directory });
  tier.offer(person);
  await written(tier);
  const path = join(directory, cell.filesIn(directory)[0]!);
  return { directory, person, tier, path };
}

/** It is a miss of this kind, the file goes, and then there is nothing. */
async function expectRefused(tier: WarmTier, person: string, directory: string, why: string) {
  expect(await tier.find(person)).toBeUndefined();
  expect(tier.stats().finds).toMatchObject({ [why]: 1 });
  await vi.waitFor(() => expect(cell.filesIn(directory)).toEqual([]));
  expect(await tier.find(person)).toBeUndefined();
  expect(tier.stats().finds).toMatchObject({ absent: 1 });
  await closed(tier);
}

test.each([0, 100, 255, 256, 800])('an entry cut to %d bytes is refused and removed', async (bytes) => {
  const { directory, person, tier, path } = await tierWithEntry();
  truncateSync(path, bytes);
  await expectRefused(tier, person, directory, 'damaged');
});

test.each([3, 90, 254, 300])('an entry with a flipped bit in byte %d is refused and removed', async (at) => {
  const { directory, person, tier, path } = await tierWithEntry();
  const bytes = readFileSync(path);
  bytes[at]! ^= 0x10;
  writeFileSync(path, bytes);
  await expectRefused(tier, person, directory, 'damaged');
});

test("another person's entry in a person's place is refused and removed", async () => {
  const { directory, person, tier, path } = await tierWithEntry();
  const other = newPerson();
  writeFileSync(path.replaceAll(person, other), readFileSync(path));
  expect(await tier.find(other)).toBeUndefined();
  expect(tier.stats().finds.other_person).toBe(1);
  await vi.waitFor(() => expect(cell.filesIn(directory)).toHaveLength(1));
  expect(await tier.find(person)).toBeDefined();
  await closed(tier);
});

test('entries of another codec or shape are refused and removed, those of another release are not even seen', async () => {
  const { directory, person, tier, path } = await tierWithEntry();
  await closed(tier);
  const bytes = readFileSync(path);
  await expectRefused(await cell.openTier({ directory, codecName: 'i8' }), person, directory, 'other_codec');
  writeFileSync(path, bytes);
  const shape = { ...SHAPE, capacity: SHAPE.capacity + 1 };
  await expectRefused(await cell.openTier({ directory, shape }), person, directory, 'other_shape');
  writeFileSync(path, bytes);
  const other = await cell.openTier({ directory, releaseId: 'r-2' });
  expect(await other.find(person)).toBeUndefined();
  expect(other.stats().finds.absent).toBe(1);
  await closed(other);
});

test('an entry is too old by its own time; one from the future, by a clock that was set back, is as good as now', async () => {
  const { directory, person, tier } = await tierWithEntry();
  await closed(tier);
  const at = (ms: number) => cell.openTier({ directory, now: () => Date.now() + ms });
  const back = await at(-10 * 3_600_000);
  expect(await back.find(person)).toBeDefined();
  await closed(back);
  await expectRefused(await at(3_600_001), person, directory, 'expired');
});

test('a store that does not answer is a miss, and an aborted question its reason', async () => {
  const store = { ...aStore(async () => 'written'), read: () => Promise.reject(new Error('broken')) };
  const tier = await cell.openTier({ store });
  expect(await tier.find(newPerson())).toBeUndefined();
  expect(tier.stats().finds.unavailable).toBe(1);
  await expect(tier.find(newPerson(), AbortSignal.abort())).rejects.toThrow('aborted');
  await closed(tier);
  const hangs = await cell.openTier({ store: { ...store, read: () => new Promise(() => {}) } });
  const asked = new AbortController();
  const answer = hangs.find(newPerson(), asked.signal);
  asked.abort();
  await expect(answer).rejects.toThrow('aborted');
  await closed(hangs);
});

test('closing writes what waits as far as its time reaches, and counts the rest', async () => {
  let go = () => {};
  const blocked = new Promise<void>((resolve) => {
    go = resolve;
  });
  let writing = false;
  const store = aStore(async () => {
    writing = true;
    await blocked;
    return 'written';
  });
  const tier = await cell.openTier({ store });
  for (let i = 0; i < 3; i++) {
    const person = newPerson();
    cell.fill(person);
    tier.offer(person);
  }
  await vi.waitFor(() => expect(writing).toBe(true));
  const closing = tier.close({ flushMs: 1 });
  setTimeout(go, 20);
  await closing;
  expect(tier.stats()).toMatchObject({ writes: 1, waiting: 0, dropped: { closed: 2 } });
});

test('it is used from the length on from which restoring is worth it, and the measurement leaves nothing', async () => {
  const directory = cell.newDirectory();
  const tier = await cell.openTier({ directory });
  const recompute = async (tokens: number) => (tokens >= 8 ? 1e6 : 0);
  const { usedFrom, table } = await tier.calibrate({ recompute, tokens: [2, 8, 16], turns: 3 });
  expect(table.map((row) => row.tokens)).toEqual([2, 8, 16]);
  expect(table.every((row) => row.restoreMs! > 0)).toBe(true);
  expect([usedFrom, tier.usedFrom]).toEqual([8, 8]);
  expect(cell.filesIn(directory)).toEqual([]);

  const [short, long] = [newPerson(), newPerson()];
  cell.fill(short, 7);
  cell.fill(long, 8);
  for (const person of [short, long]) tier.offer(person);
  await vi.waitFor(() => expect(tier.stats()).toMatchObject({ writes: 1, dropped: { short: 1 } }));
  expect(await tier.find(long)).toBeDefined();
  await tier.calibrate({ recompute: async (tokens) => (tokens > 8 ? 1e6 : 0), tokens: [8, 16], turns: 1 });
  expect(await tier.find(long)).toBeUndefined();
  expect(tier.stats().finds).toMatchObject({ hit: 1, short: 1 });

  await tier.calibrate({ recompute: async () => 0, tokens: [16], turns: 1 });
  expect(tier.usedFrom).toBeUndefined();
  expect(await tier.find(long)).toBeUndefined();
  expect(tier.stats().finds.unused).toBe(1);
  await closed(tier);
});

test('a store that takes nothing is worth nothing', async () => {
  const tier = await cell.openTier({ store: aStore(async () => 'full') });
  const { usedFrom, table } = await tier.calibrate({ recompute: async () => 1e6, tokens: [4], turns: 1 });
  expect(usedFrom).toBeUndefined();
  expect(table).toEqual([{ tokens: 4, restoreMs: undefined, recomputeMs: 1e6 }]);
  await closed(tier);
});

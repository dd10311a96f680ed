import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvSource } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import {
  action,
  ask,
  call,
  type FakeCell,
  type FakeCellOptions,
  fakeCell,
  person,
  retract,
  until,
} from './fake-cell.suite.js';

const ANN = person(1);
const BEA = person(2);
const directories: string[] = [];
const open = new Set<FakeCell>();

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'onepass-warm-kv-'));
  directories.push(directory);
  return directory;
}

async function newCell(options: FakeCellOptions): Promise<FakeCell> {
  const cell = await fakeCell(options);
  open.add(cell);
  return cell;
}

async function close(cell: FakeCell): Promise<void> {
  open.delete(cell);
  await cell.close();
}

afterEach(async () => {
  for (const cell of open) await close(cell);
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

const encode = (cell: FakeCell, who: string) => cell.encoder.encode(ask(who), call());
const written = (cell: FakeCell, entries: number) => until(() => cell.warmTier!.stats().writes >= entries);

/** Ann has two actions that the tier holds, and no slot. */
async function annGaveWay(cell: FakeCell): Promise<void> {
  await cell.append(ANN, action('e1', 'i1'), action('e2', 'i2'));
  await encode(cell, ANN);
  await written(cell, 1);
  await cell.append(BEA, action('e1', 'i3'));
  await encode(cell, BEA);
}

test('who gave way is brought back and not encoded, and what is new is appended', async () => {
  const cell = await newCell({ slots: 1, warm: 'f32' });
  await annGaveWay(cell);
  const back = await encode(cell, ANN);
  expect(back).toMatchObject({ source: KvSource.TIER, encodedTokens: 0, reference: { length: 2 } });
  expect(back.stages.timings().map(({ stage }) => stage)).toContain('restore');
  expect(cell.readKv(back.reference)).toEqual(await cell.expectedKv(ANN, 2));
  expect((await encode(cell, ANN)).source).toBe(KvSource.SLOT);
  await cell.append(ANN, action('e3', 'i4'));
  const more = await encode(cell, ANN);
  expect(more).toMatchObject({ source: KvSource.APPEND, encodedTokens: 1 });
  expect(cell.readKv(more.reference)).toEqual(await cell.expectedKv(ANN, 3));
});

test('what happened since is appended to what is brought back; what was taken back encodes anew', async () => {
  const cell = await newCell({ slots: 1, warm: 'f32' });
  await annGaveWay(cell);
  await cell.append(ANN, action('e3', 'i4'));
  const back = await encode(cell, ANN);
  expect(back).toMatchObject({ source: KvSource.TIER, encodedTokens: 1 });
  expect(cell.readKv(back.reference)).toEqual(await cell.expectedKv(ANN, 3));
  await written(cell, 3);
  await encode(cell, BEA);
  await cell.append(ANN, retract('e1'));
  const anew = await encode(cell, ANN);
  expect(anew.source).toBe(KvSource.RECOMPUTE);
  expect(cell.readKv(anew.reference)).toEqual(await cell.expectedKv(ANN, 2));
});

test('a cell that starts again is warm', async () => {
  const directory = newDirectory();
  const first = await newCell({ directory, warm: 'f32' });
  await first.append(ANN, action('e1', 'i1'), action('e2', 'i2'));
  const { queries, seenRows } = await encode(first, ANN);
  await close(first);
  const again = await newCell({ directory, warm: 'f32' });
  const back = await encode(again, ANN);
  expect(back).toMatchObject({ source: KvSource.TIER, encodedTokens: 0, queries, seenRows });
  expect(again.readKv(back.reference)).toEqual(await again.expectedKv(ANN, 2));
});

test.each(['f16', 'i8'] as const)(
  'what %s brings back is near, is not appended to, and is encoded anew when nothing else is to be done',
  async (warm) => {
    const directory = newDirectory();
    const cell = await newCell({ directory, warm });
    for (const who of [ANN, BEA]) {
      await cell.append(who, action('e1', 'i1'), action('e2', 'i2'));
      await encode(cell, who);
    }
    await close(cell);
    const again = await newCell({ directory, warm });
    const back = await encode(again, ANN);
    expect(back.source).toBe(KvSource.TIER);
    const right = await again.expectedKv(ANN, 2);
    for (const [tensor, numbers] of again.readKv(back.reference).entries()) {
      for (const [i, number] of numbers.entries()) {
        expect(Math.abs(number - right[tensor]![i]!)).toBeLessThan(0.01 * Math.abs(right[tensor]![i]!) + 0.5);
      }
    }
    expect(again.pool.lookup(ANN)!.isLossy).toBe(true);
    await until(() => again.pool.lookup(ANN)!.isLossy === false);
    const { reference, source } = await encode(again, ANN);
    expect(source).toBe(KvSource.SLOT);
    expect(again.readKv(reference)).toEqual(right);
    // In the middle of other work there is no time for that.
    let release = () => {};
    again.beforeRun = () => new Promise((resolve) => (release = resolve));
    const busy = again.encoder.encode(ask(person(3)), call());
    const near = again.encoder.encode(ask(BEA, { queries: [] }), call());
    expect((await near).source).toBe(KvSource.TIER);
    await again.append(BEA, action('e3', 'i3'));
    again.beforeRun = () => {};
    const anew = await encode(again, BEA);
    expect(anew.source).toBe(KvSource.RECOMPUTE);
    expect(again.readKv(anew.reference)).toEqual(await again.expectedKv(BEA, 3));
    release();
    await busy;
  },
);

test('nothing is left of who is forgotten, and a tier that may not be used is not asked', async () => {
  let mayUse = true;
  const cell = await newCell({ slots: 1, warm: 'f32', mayUseWarmTier: () => mayUse });
  await annGaveWay(cell);
  mayUse = false;
  expect((await encode(cell, ANN)).source).toBe(KvSource.RECOMPUTE);
  expect(cell.warmTier!.stats().finds).toMatchObject({ hit: 0 });
  mayUse = true;
  await written(cell, 2);
  await encode(cell, BEA);
  expect((await cell.warmTier!.find(ANN))?.content.length).toBe(2);
  await cell.history.forget(ANN);
  await cell.encoder.forget(ANN, call());
  expect(await cell.warmTier!.find(ANN)).toBeUndefined();
  expect((await encode(cell, ANN)).source).toBe(KvSource.EMPTY);
});

test('a restore that fails is a recompute, and one that is given up leaves no slot', async () => {
  const cell = await newCell({ slots: 1, warm: 'f32' });
  await annGaveWay(cell);
  const find = cell.warmTier!.find.bind(cell.warmTier!);
  cell.warmTier!.find = async (who) => {
    const entry = await find(who);
    return entry && { ...entry, restore: () => Promise.reject(new OnepassError({ kind: 'internal' }, 'broken')) };
  };
  expect((await encode(cell, ANN)).source).toBe(KvSource.RECOMPUTE);
  await encode(cell, BEA);
  const given = new AbortController();
  cell.warmTier!.find = async (who) => {
    const entry = await find(who);
    given.abort(new OnepassError({ kind: 'cancelled' }, 'given up'));
    return entry;
  };
  await expect(cell.encoder.encode(ask(ANN), call(10_000, given.signal))).rejects.toMatchObject({ kind: 'cancelled' });
  // The tier's own work on another slot may still go on.
  await until(() => cell.pool.stats().leased === 0);
  expect(cell.pool.stats().slots.filling).toBe(0);
});

test('with a tier and cells that end and start again, KV is the history’s, whatever persons do', async () => {
  const who = fc.integer({ min: 1, max: 5 });
  const step = fc.record({
    who,
    add: fc.array(fc.constantFrom('i0', 'i1', 'i2', 'i3', 'elsewhere'), { maxLength: 4 }),
    retract: fc.option(fc.nat(20), { nil: undefined, freq: 2 }),
    forget: fc.option(who, { nil: undefined, freq: 1 }),
    requests: fc.array(who, { maxLength: 6 }),
    restart: fc.boolean(),
  });
  const sources = new Set<KvSource>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const options = { directory: newDirectory(), slots: 2, window: 6, warm: 'f32' } as const;
      let cell = await newCell(options);
      for (const [index, { who, add, retract: taken, forget, requests, restart }] of steps.entries()) {
        await cell.append(person(who), ...add.map((item, i) => action(`${index}-${i}`, item)));
        const { events } = await cell.history.latest(person(who), 20);
        if (taken !== undefined && events.length > 0) {
          await cell.append(person(who), retract(events[taken % events.length]!.eventId));
        }
        if (forget !== undefined) {
          await cell.history.forget(person(forget));
          await cell.encoder.forget(person(forget), call());
        }
        for (const source of await Promise.all(requests.map((one) => checked(cell, person(one))))) sources.add(source);
        if (!restart) continue;
        await close(cell);
        cell = await newCell(options);
      }
      expect(cell.pool.stats().leased).toBeLessThanOrEqual(1);
      await close(cell);
    }),
    { seed: 12, numRuns: 15 },
  );
  expect([...sources].sort()).toEqual([
    KvSource.EMPTY,
    KvSource.SLOT,
    KvSource.APPEND,
    KvSource.RECOMPUTE,
    KvSource.TIER,
  ]);
}, 120_000);

/** What is answered is of the history's end, and the KV behind it is the history's or a miss. */
async function checked(cell: FakeCell, who: string): Promise<KvSource> {
  const { reference, source } = await encode(cell, who);
  const { sequence, hash } = await cell.history.head(who);
  expect(reference).toMatchObject({ historySequence: BigInt(sequence), historyHash: hash });
  if (reference.length === 0) return source;
  let found: number[][] | undefined;
  try {
    found = cell.readKv(reference);
  } catch (thrown) {
    expect(OnepassError.from(thrown).kind).toBe('kv_miss');
  }
  if (found !== undefined) expect(found).toEqual(await cell.expectedKv(who, reference.length));
  return source;
}

import { KvSource, unpackUint32 } from '@onepass/contracts';
import { OnepassError, unavailable } from '@onepass/errors';
import type { HistoryStore } from '@onepass/history';
import type { KvReference } from '@onepass/kv';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import {
  action,
  ask,
  call,
  type FakeCell,
  type FakeCellOptions,
  fakeCell,
  ITEMS,
  NOW,
  person,
  query,
  retract,
  textEmbedding,
  until,
} from './fake-cell.suite.js';

const open: FakeCell[] = [];
async function newCell(options: FakeCellOptions = {}): Promise<FakeCell> {
  const cell = await fakeCell(options);
  open.push(cell);
  return cell;
}
afterEach(async () => {
  for (const cell of open.splice(0)) await cell.close();
});

async function encode(cell: FakeCell, who: string | undefined) {
  const encoded = await cell.encoder.encode(ask(who), call());
  return { ...encoded, seenItemIds: Array.from(unpackUint32(encoded.seenRows, 'seen_rows'), (row) => ITEMS[row]!) };
}

/** Something that tests open by hand. */
function latch() {
  let release!: () => void;
  const opened = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { opened, release };
}

/** Waits until a condition that other work brings about holds. */

test('nobody has an empty past and holds nothing', async () => {
  const cell = await newCell();
  const encoded = await encode(cell, undefined);
  expect(encoded).toMatchObject({ source: KvSource.EMPTY, seenItemIds: [], lastMs: undefined, encodedTokens: 0 });
  expect(encoded.reference).toMatchObject({ releaseId: 'r-fake', length: 0, historySequence: 0n });
  expect(encoded.queries).toHaveLength(2);
  expect(cell.pool.stats().slots.held).toBe(0);
});

test('a person is encoded once, then held, then only what is new', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'), action('e2', 'i2'), action('e3', 'i1'));
  const first = await encode(cell, who);
  expect(first).toMatchObject({ source: KvSource.RECOMPUTE, encodedTokens: 3, seenItemIds: ['i2', 'i1'] });
  const second = await encode(cell, who);
  expect(second).toMatchObject({ source: KvSource.SLOT, encodedTokens: 0, queries: first.queries });
  await cell.append(who, action('e4', 'i3'));
  const third = await encode(cell, who);
  expect(third).toMatchObject({ source: KvSource.APPEND, encodedTokens: 1, seenItemIds: ['i2', 'i1', 'i3'] });
  expect(third.reference.generation).toBe(first.reference.generation);
  expect(third.reference).toMatchObject({ length: 4, historySequence: 4n });
  expect(cell.readKv(third.reference)).toEqual(await cell.expectedKv(who, 4));
  // What was handed out before still holds its shorter prefix.
  expect(cell.readKv(first.reference)[0]).toEqual((await cell.expectedKv(who, 4))[0]!.slice(0, 9));
  expect(cell.measurements.snapshot()).toMatchObject({
    'onepass.kv.requests{onepass.kv.source="recompute"}': 1,
    'onepass.kv.requests{onepass.kv.source="slot"}': 1,
    'onepass.kv.requests{onepass.kv.source="append"}': 1,
    'onepass.inference.run.duration.count{onepass.graph="encode"}': 3,
    'onepass.encode.tokens': 4,
  });
});

test('appending gives the queries of a full pass', async () => {
  const [one, other] = [await newCell(), await newCell()];
  const who = person(1);
  const events = ['i1', 'i2', 'i3', 'i4'].map((item, i) => action(`e${i}`, item));
  for (const event of events) {
    await one.append(who, event);
    await encode(one, who);
  }
  await other.append(who, ...events);
  expect((await encode(one, who)).queries).toEqual((await encode(other, who)).queries);
});

test('features of the request change its queries and nothing of the history', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'), action('e2', 'i2'));
  const withFeatures = (features: Record<string, number>) => {
    const { context } = ask(who);
    return cell.encoder.encode(ask(who, { context: { ...context, features } }), call());
  };
  const plain = await encode(cell, who);
  const [eight, zero] = [await withFeatures({ hour: 8 }), await withFeatures({ hour: 0 })];
  expect(eight.queries).not.toEqual(plain.queries);
  expect(zero.queries).not.toEqual(plain.queries);
  expect(eight).toMatchObject({ source: KvSource.SLOT, encodedTokens: 0 });
  expect(cell.readKv(eight.reference)).toEqual(await cell.expectedKv(who, 2));
  expect((await encode(cell, who)).queries).toEqual(plain.queries);
});

test('queries of the history are tokens: all new texts go through the tower in one run', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, query('q1', 'teal mug'), action('e1', 'i1'), query('q2', '...'), query('q3', 'mug'));
  await cell.append(who, query('q4', 'teal mug'));
  const first = await encode(cell, who);
  expect(first).toMatchObject({ encodedTokens: 4, seenItemIds: ['i1'], lastMs: NOW - 1000 });
  expect(cell.readKv(first.reference)).toEqual(await cell.expectedKv(who, 4));
  await cell.append(who, action('e2', 'i2'), query('q5', 'jug'));
  const second = await encode(cell, who);
  expect(second).toMatchObject({ source: KvSource.APPEND, encodedTokens: 2 });
  expect(cell.readKv(second.reference)).toEqual(await cell.expectedKv(who, 6));
  expect(cell.measurements.snapshot()).toMatchObject({
    'onepass.inference.run.duration.count{onepass.graph="query_tower"}': 2,
  });
});

test('a text and its embedding are one request', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'), query('q1', 'mug'));
  const byText = await cell.encoder.encode(ask(who, { queryText: 'Teal mug' }), call());
  const embeddings = textEmbedding('Teal mug');
  const given = await cell.encoder.encode(ask(who, { embeddings }), call());
  expect(byText.queries).toEqual(given.queries);
  expect(byText.contextEmbeddings).toEqual(embeddings);
  expect(byText.contextEmbeddings).toEqual(given.contextEmbeddings);
  // Nobody, and nothing to retrieve: ranking needs it all the same.
  const toScore = await cell.encoder.encode(ask(undefined, { queryText: 'Teal mug', queries: [] }), call());
  expect(toScore.contextEmbeddings).toEqual(embeddings);
  expect((await encode(cell, who)).contextEmbeddings).toBeUndefined();
});

test('a query that is taken back leaves no token', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, query('q1', 'mug'), action('e1', 'i1'));
  expect((await encode(cell, who)).reference.length).toBe(2);
  await cell.append(who, retract('q1'));
  const after = await encode(cell, who);
  expect(after).toMatchObject({ source: KvSource.RECOMPUTE, encodedTokens: 1 });
  expect(cell.readKv(after.reference)).toEqual(await cell.expectedKv(who, 1));
});

test('two requests at once do the work once', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'), action('e2', 'i2'));
  const both = await Promise.all([encode(cell, who), encode(cell, who)]);
  expect(both.map((e) => e.source)).toEqual([KvSource.RECOMPUTE, KvSource.SLOT]);
  expect(cell.measurements.snapshot()).toMatchObject({ 'onepass.encode.tokens': 2 });
});

test('persons do not wait for each other', async () => {
  const cell = await newCell();
  const gate = latch();
  await cell.append(person(1), action('e1', 'i1'));
  await cell.append(person(2), action('e1', 'i2'));
  cell.beforeRun = () => gate.opened;
  const slow = encode(cell, person(1));
  await until(() => cell.pool.stats().leased === 1);
  cell.beforeRun = () => {};
  expect((await encode(cell, person(2))).source).toBe(KvSource.RECOMPUTE);
  gate.release();
  expect((await slow).source).toBe(KvSource.RECOMPUTE);
});

test('a full window is encoded anew, shorter, in a slot of another generation', async () => {
  const cell = await newCell({ window: 8 });
  const who = person(1);
  await cell.append(who, ...Array.from({ length: 8 }, (_, i) => action(`e${i}`, `i${i}`)));
  const full = await encode(cell, who);
  expect(full.reference.length).toBe(8);
  await cell.append(who, action('e8', 'i1'));
  const slid = await encode(cell, who);
  expect(slid).toMatchObject({ source: KvSource.RECOMPUTE, encodedTokens: 6 });
  expect(slid.reference.slot).not.toBe(full.reference.slot);
  expect(cell.readKv(slid.reference)).toEqual(await cell.expectedKv(who, 6));
  // The first token kept knows when the one before it was.
  expect(slid.seenItemIds).toHaveLength(8);
  await cell.append(who, action('e9', 'i1'), action('e10', 'i2'));
  const grown = await encode(cell, who);
  expect(grown).toMatchObject({ source: KvSource.APPEND, reference: { length: 8 } });
});

test('a retract takes the action out of KV and seen', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'), action('e2', 'i2'), action('e3', 'i3'));
  const before = await encode(cell, who);
  await cell.append(who, retract('e2'));
  const after = await encode(cell, who);
  expect(after).toMatchObject({ source: KvSource.RECOMPUTE, encodedTokens: 2, seenItemIds: ['i1', 'i3'] });
  expect(after.reference.historySequence).toBe(4n);
  expect(
    after.reference.slot === before.reference.slot && after.reference.generation === before.reference.generation,
  ).toBe(false);
  expect(cell.readKv(after.reference)).toEqual(await cell.expectedKv(who, 2));
});

test('an action logged and retracted between two requests was never there', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'));
  await encode(cell, who);
  await cell.append(who, action('e2', 'i2'), retract('e2'));
  expect(await encode(cell, who)).toMatchObject({
    source: KvSource.SLOT,
    seenItemIds: ['i1'],
    reference: { length: 1, historySequence: 3n },
  });
});

test('retracting everything leaves an empty past, and the old KV misses', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'));
  const { reference } = await encode(cell, who);
  await cell.append(who, retract('e1'));
  expect(await encode(cell, who)).toMatchObject({ source: KvSource.EMPTY, seenItemIds: [], lastMs: undefined });
  expect(() => cell.readKv(reference)).toThrow('KV miss');
  expect(cell.pool.stats().slots.held).toBe(0);
});

test('a person who is forgotten leaves nothing, not even through an encode that was under way', async () => {
  const cell = await newCell();
  const who = person(7);
  const gate = latch();
  await cell.append(who, action('e1', 'i1'), action('e2', 'i2'));
  const held = await encode(cell, who);
  await cell.append(who, action('e3', 'i3'));
  cell.beforeRun = () => gate.opened;
  const underWay = encode(cell, who);
  await until(() => cell.pool.stats().leased === 1);
  await cell.history.forget(who);
  const forgotten = cell.encoder.forget(who, call());
  const behind = encode(cell, who);
  gate.release();
  expect((await underWay).reference.length).toBe(3);
  await forgotten;
  expect((await behind).reference).toMatchObject({ length: 0, historySequence: 0n });
  expect((await behind).seenItemIds).toEqual([]);
  expect(() => cell.readKv(held.reference)).toThrow('KV miss');
  expect(cell.pool.stats()).toMatchObject({ slots: { held: 0 }, leased: 0 });
  await cell.encoder.forget(who, call());
  await cell.append(who, action('e1', 'i5'));
  expect(await encode(cell, who)).toMatchObject({ source: KvSource.RECOMPUTE, seenItemIds: ['i5'] });
});

test('actions the release does not know make no token, but are counted, and seen where the item is known', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'elsewhere'), action('e2', 'i2', { actions: ['wave'] }));
  const empty = await encode(cell, who);
  expect(empty).toMatchObject({ source: KvSource.EMPTY, seenItemIds: ['i2'] });
  expect(empty.reference).toMatchObject({ length: 0, historySequence: 2n });
  await cell.append(who, action('e3', 'i3'), action('e4', 'elsewhere'));
  const one = await encode(cell, who);
  expect(one).toMatchObject({ source: KvSource.RECOMPUTE, encodedTokens: 1, reference: { historySequence: 4n } });
  await cell.append(who, action('e5', 'elsewhere'));
  expect(await encode(cell, who)).toMatchObject({
    source: KvSource.SLOT,
    reference: { length: 1, historySequence: 5n },
  });
});

test('a window is filled from behind many unknown actions', async () => {
  const cell = await newCell({ window: 8 });
  const who = person(1);
  const unknown = Array.from({ length: 900 }, (_, i) => action(`u${i}`, 'elsewhere'));
  await cell.append(who, ...[1, 2, 3].map((i) => action(`e${i}`, `i${i}`)), ...unknown);
  await cell.append(who, action('last', 'i4'));
  const encoded = await encode(cell, who);
  expect(encoded).toMatchObject({ encodedTokens: 4, reference: { historySequence: 904n } });
  expect(cell.readKv(encoded.reference)).toEqual(await cell.expectedKv(who, 4));
});

test('the person used longest ago gives way', async () => {
  const cell = await newCell({ slots: 2 });
  for (const n of [1, 2, 3]) await cell.append(person(n), action('e1', `i${n}`));
  const first = await encode(cell, person(1));
  for (const n of [2, 3]) await encode(cell, person(n));
  expect(() => cell.readKv(first.reference)).toThrow('KV miss');
  expect((await encode(cell, person(2))).source).toBe(KvSource.SLOT);
  const again = await encode(cell, person(1));
  expect(again).toMatchObject({ source: KvSource.RECOMPUTE, seenItemIds: ['i1'] });
  expect(cell.readKv(again.reference)).toEqual(await cell.expectedKv(person(1), 1));
});

test('a pool whose every slot is in work is waited for, as long as the call allows', async () => {
  const cell = await newCell({ slots: 1, restMs: 300 });
  const gate = latch();
  await cell.append(person(1), action('e1', 'i1'));
  await cell.append(person(2), action('e1', 'i2'));
  cell.beforeRun = () => gate.opened;
  const working = encode(cell, person(1));
  await until(() => cell.pool.stats().leased === 1);
  const hasty = cell.encoder.encode(ask(person(2)), call(15));
  await expect(hasty).rejects.toMatchObject({ detail: { kind: 'overloaded', retryAfterMs: 300 } });
  const patient = encode(cell, person(2));
  await until(() => cell.pool.stats().refusals > 4);
  gate.release();
  expect((await working).source).toBe(KvSource.RECOMPUTE);
  expect((await patient).source).toBe(KvSource.RECOMPUTE);
});

test('a failed run leaves what was held as it was', async () => {
  const cell = await newCell();
  const who = person(1);
  cell.beforeRun = () => {
    throw new Error('out of order');
  };
  await cell.append(who, action('e1', 'i1'));
  await expect(encode(cell, who)).rejects.toThrow('out of order');
  expect(cell.pool.stats()).toMatchObject({ slots: { held: 0 }, leased: 0 });
  cell.beforeRun = () => {};
  const held = await encode(cell, who);
  await cell.append(who, action('e2', 'i2'));
  cell.beforeRun = () => {
    throw new Error('out of order');
  };
  await expect(encode(cell, who)).rejects.toThrow('out of order');
  expect(cell.readKv(held.reference)).toEqual((await cell.expectedKv(who, 2)).map((tensor) => tensor.slice(0, 3)));
  cell.beforeRun = () => {};
  const after = await encode(cell, who);
  expect(after).toMatchObject({ source: KvSource.APPEND, encodedTokens: 1, seenItemIds: ['i1', 'i2'] });
  expect(cell.readKv(after.reference)).toEqual(await cell.expectedKv(who, 2));
  expect(cell.pool.stats().leased).toBe(0);
});

test('a caller that has gone while it waits its turn does not run and holds nobody up', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'));
  const gate = latch();
  cell.beforeRun = () => gate.opened;
  const first = encode(cell, who);
  const gone = new AbortController();
  const second = cell.encoder.encode(ask(who), call(10_000, gone.signal));
  const third = encode(cell, who);
  gone.abort(new OnepassError({ kind: 'cancelled' }, 'the caller has gone'));
  await expect(second).rejects.toMatchObject({ kind: 'cancelled' });
  gate.release();
  expect((await first).source).toBe(KvSource.RECOMPUTE);
  expect((await third).source).toBe(KvSource.SLOT);
});

/** The history with another `head`. */
const withHead = (history: HistoryStore, head: HistoryStore['head']): HistoryStore => ({
  append: (...args) => history.append(...args),
  head,
  tail: (...args) => history.tail(...args),
  latest: (...args) => history.latest(...args),
  actedItemIds: (who) => history.actedItemIds(who),
  forget: (who) => history.forget(who),
  persons: () => history.persons(),
  close: () => history.close(),
});

test('without the history, what is held is served and said to be degraded', async () => {
  let down = false;
  const cell = await newCell({
    history: (history) =>
      withHead(history, async (who) => {
        if (down) throw unavailable('the history store cannot be read');
        return history.head(who);
      }),
  });
  const who = person(1);
  await cell.append(who, action('e1', 'i1'));
  await cell.append(person(2), action('e1', 'i2'));
  const held = await encode(cell, who);
  down = true;
  expect(await encode(cell, who)).toMatchObject({
    source: KvSource.SLOT,
    degraded: 'the history store cannot be read',
    reference: held.reference,
    seenItemIds: ['i1'],
  });
  expect(await encode(cell, person(2))).toMatchObject({ source: KvSource.EMPTY, degraded: expect.any(String) });
  down = false;
  expect(await encode(cell, person(2))).toMatchObject({ source: KvSource.RECOMPUTE, degraded: undefined });
  expect(await encode(cell, who)).toMatchObject({ source: KvSource.SLOT, degraded: undefined });
});

test('a write that the caller was told of is waited for, one that never comes is not', async () => {
  let late = 1;
  const cell = await newCell({
    history: (history) =>
      withHead(history, async (who) => (late-- > 0 ? { sequence: 0, hash: 0n } : history.head(who))),
  });
  const who = person(1);
  await cell.append(who, action('e1', 'i1'), action('e2', 'i2'));
  const seen = await cell.encoder.encode(ask(who, { minimumSequence: 2 }), call());
  expect(seen.reference.historySequence).toBe(2n);
  await expect(cell.encoder.encode(ask(who, { minimumSequence: 3 }), call())).rejects.toMatchObject({
    kind: 'unavailable',
    message: 'the history ends at sequence 2, asked for was 3',
  });
});

test('without queries a held person runs nothing', async () => {
  const cell = await newCell();
  const who = person(1);
  await cell.append(who, action('e1', 'i1'));
  await encode(cell, who);
  const encoded = await cell.encoder.encode(ask(who, { queries: [] }), call());
  expect(encoded).toMatchObject({ source: KvSource.SLOT, queries: new Float32Array(0), reference: { length: 1 } });
  expect(cell.measurements.snapshot()).toMatchObject({
    'onepass.inference.run.duration.count{onepass.graph="encode"}': 1,
  });
  // New actions are encoded, and they alone.
  await cell.append(who, action('e2', 'i2'));
  const appended = await cell.encoder.encode(ask(who, { queries: [] }), call());
  expect(appended).toMatchObject({ source: KvSource.APPEND, encodedTokens: 1 });
  expect(cell.readKv(appended.reference)).toEqual(await cell.expectedKv(who, 2));
});

test('several context rows fit behind a full window', async () => {
  const cell = await newCell({ window: 8 });
  const who = person(1);
  await cell.append(who, ...Array.from({ length: 8 }, (_, i) => action(`e${i}`, `i${i}`)));
  const related = ask(who, { embeddings: Float32Array.of(1, 2, 3, 4), contextRows: 2 });
  const encoded = await cell.encoder.encode(related, call());
  expect(cell.readKv(encoded.reference)).toEqual(await cell.expectedKv(who, 8));
  expect((await encode(cell, who)).queries).not.toEqual(encoded.queries);
});

test('whatever persons do in whatever order, KV is the history’s', async () => {
  const who = fc.integer({ min: 1, max: 5 });
  const step = fc.record({
    who,
    add: fc.array(fc.constantFrom('i0', 'i1', 'i2', 'i3', 'elsewhere'), { maxLength: 5 }),
    retract: fc.option(fc.nat(20), { nil: undefined, freq: 2 }),
    requests: fc.array(who, { maxLength: 8 }),
    turns: fc.array(fc.nat(3), { minLength: 1, maxLength: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 15 }), async (steps) => {
      const cell = await fakeCell({ slots: 3, window: 6 });
      try {
        for (const [index, { who, add, retract: taken, requests, turns }] of steps.entries()) {
          await cell.append(person(who), ...add.map((item, i) => action(`${index}-${i}`, item)));
          const { events } = await cell.history.latest(person(who), 20);
          if (taken !== undefined && events.length > 0) {
            await cell.append(person(who), retract(events[taken % events.length]!.eventId));
          }
          // Runs take turns of different length, so that requests overtake each other.
          let run = 0;
          cell.beforeRun = async () => {
            for (let i = turns[run++ % turns.length]!; i > 0; i--) await new Promise((done) => setImmediate(done));
          };
          await Promise.all(requests.map((one) => encodeAndCheck(cell, person(one))));
        }
        expect(cell.pool.stats().leased).toBe(0);
      } finally {
        await cell.close();
      }
    }),
    { seed: 6, numRuns: 30 },
  );
}, 120_000);

/** The answer and the KV behind it are the history's; KV of a person who had to give way is a miss. */
async function encodeAndCheck(cell: FakeCell, who: string): Promise<void> {
  const { reference, seenItemIds } = await encode(cell, who);
  const found = reference.length > 0 && kvOrMiss(cell, reference);
  if (found) expect(found).toEqual(await cell.expectedKv(who, reference.length));
  const { head, itemIds } = await cell.history.actedItemIds(who);
  expect(reference).toMatchObject({ historySequence: BigInt(head.sequence), historyHash: head.hash });
  expect([...seenItemIds].sort()).toEqual(itemIds.filter((id) => ITEMS.includes(id)).sort());
}

function kvOrMiss(cell: FakeCell, reference: KvReference): number[][] | undefined {
  try {
    return cell.readKv(reference);
  } catch (error) {
    expect(OnepassError.from(error).kind).toBe('kv_miss');
    return undefined;
  }
}

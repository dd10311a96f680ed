import { EmbeddingType, KvSource } from '@onepass/contracts';
import { decodeEmbeddings, encodeEmbeddings } from '@onepass/embeddings';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  HOUR,
  keyOf,
  largestDifference,
  NOW,
  type Scored,
  startTwoCells,
  type TwoCells,
  user,
} from './two-cells.suite.js';

/** "Equal" of docs/device-graphs.md, of probabilities and of unit-length embeddings. */
const EQUAL = 1e-4;

let cells: TwoCells;
beforeAll(async () => {
  cells = await startTwoCells();
});
afterAll(() => cells.end());

type More = Parameters<TwoCells['device']['encode']>[1];

/** The same of both cells: what comes of it, where it came from, and what it was made from. */
async function both(person: string | undefined, more?: () => More, count = 40): Promise<Scored> {
  const candidates = cells.candidates(count);
  const [here, there] = await Promise.all([
    cells.device.score(person, candidates, more?.()),
    cells.shared.score(person, candidates, more?.()),
  ]);
  expect(saidOf(here)).toEqual(saidOf(there));
  expect(largestDifference(queriesOf(here), queriesOf(there))).toBeLessThan(EQUAL);
  expect(here.probabilities).toHaveLength(count * cells.release.vocabulary.actions.size);
  expect(largestDifference(here.probabilities, there.probabilities)).toBeLessThan(EQUAL);
  return here;
}

/** All of an answer but its numbers and what names one pool's slot. */
function saidOf({ encoded }: Scored) {
  const { kv, kvSource, encodedTokens, seenRows, context, degraded, stages } = encoded;
  const { embeddings, ...request } = context!;
  const { length, historySequence, historyHash, releaseId } = kv!;
  return {
    ...{ kvSource, encodedTokens, seenRows, degraded, request, length, historySequence, historyHash, releaseId },
    contextRows: embeddings?.values.length,
    stages: stages.map(({ stage }) => stage).sort(),
  };
}

function queriesOf({ encoded }: Scored): Float32Array {
  return decodeEmbeddings(encoded.queries, 'queries', cells.release.manifest.model.itemDimension).values;
}

test('a first encode, an append, what is held, and a window that slid give what shared memory gives', async () => {
  const { window } = cells.release.manifest.model;
  await cells.append('ann', cells.actions(9));
  expect((await both('ann')).encoded).toMatchObject({ kvSource: KvSource.RECOMPUTE, encodedTokens: 9 });
  expect((await both('ann')).encoded).toMatchObject({ kvSource: KvSource.SLOT, encodedTokens: 0 });
  await cells.append('ann', cells.actions(3, 9));
  expect((await both('ann')).encoded).toMatchObject({ kvSource: KvSource.APPEND, encodedTokens: 3 });
  await cells.append('ann', cells.actions(window, 12));
  expect((await both('ann')).encoded).toMatchObject({ kvSource: KvSource.RECOMPUTE, kv: { length: 24 } });
});

test('nobody, and somebody without a history, have an empty past', async () => {
  expect((await both(undefined)).encoded).toMatchObject({ kvSource: KvSource.EMPTY, kv: { length: 0 } });
  expect((await both('nobody yet')).encoded).toMatchObject({ kvSource: KvSource.EMPTY, kv: { length: 0 } });
  const some = () => ({ relatedItemIds: [3, 5, 8].map((row) => cells.items.ids[row]!) });
  await both(undefined, some);
});

test('a search with text, related items and features of the request', async () => {
  await cells.append('bea', cells.actions(7));
  const [feature] = cells.release.manifest.vocabulary.requestFeatures;
  await both('bea', () => ({
    context: { surface: 'search', nowMs: BigInt(NOW), features: { [feature!]: 1 } },
    queryText: 'teal mug',
  }));
  const related = () => ({
    context: { surface: 'related', nowMs: BigInt(NOW + 72 * HOUR) },
    relatedItemIds: [1, 2, 4, 9, 11, 12, 15, 16].map((row) => cells.items.ids[row]!),
  });
  expect((await both('bea', related)).encoded).toMatchObject({ kvSource: KvSource.SLOT });
  await both('bea', related, 1);
});

test('an encode without queries leaves the same KV', async () => {
  await cells.append('cleo', cells.actions(5));
  for (const cell of [cells.device, cells.shared]) {
    expect(await cell.encode('cleo', { queries: [] })).toMatchObject({
      encodedTokens: 5,
      kvSource: KvSource.RECOMPUTE,
    });
    expect(await cell.encode('cleo', { queries: [] })).toMatchObject({ encodedTokens: 0, kvSource: KvSource.SLOT });
  }
  expect((await both('cleo')).encoded.kvSource).toBe(KvSource.SLOT);
});

test('what is taken back is encoded anew; who is forgotten has nothing, and who ranks on it misses', async () => {
  await cells.append('dan', cells.actions(6));
  const before = await both('dan');
  const taken = { eventId: 'e1', operation: 'retract' as const, actions: [], surface: 'home', timeMs: NOW };
  await cells.append('dan', [taken]);
  expect((await both('dan')).encoded).toMatchObject({ kvSource: KvSource.RECOMPUTE, encodedTokens: 5 });
  // What was held before rests a while, as readers may be at it.
  const again = await cells.device.rank(before.encoded, cells.candidates(40));
  expect(largestDifference(again, before.probabilities)).toBeLessThan(EQUAL);
  const after = await both('dan');
  await cells.history.forget(keyOf('dan'));
  for (const { encoder } of [cells.device, cells.shared]) await encoder.forget({ person: user('dan') });
  await expect(cells.device.rank(after.encoded, cells.candidates(4))).rejects.toMatchObject({ kind: 'kv_miss' });
  expect((await both('dan')).encoded).toMatchObject({ kvSource: KvSource.EMPTY });
});

test('a request whose numbers are too large is refused, as of shared memory, and the KV stays', async () => {
  const { itemDimension, contextRows } = cells.release.manifest.model;
  const large = (rows: number) => new Float32Array(rows * itemDimension).fill(1e38);
  const embeddings = encodeEmbeddings(large(contextRows), itemDimension, EmbeddingType.F32);
  const context = { surface: 'home', nowMs: BigInt(NOW), embeddings };
  await cells.append('finn', cells.actions(9));
  const good = (await both('finn')).encoded;
  await cells.append('finn', cells.actions(2, 9));
  for (const cell of [cells.device, cells.shared]) {
    const refused = (field: string) => ({ kind: 'invalid_argument', message: expect.stringContaining(field) });
    await expect(cell.encode('finn', { context })).rejects.toMatchObject(refused('context.embeddings.values'));
    await expect(cell.rank(good, large(6))).rejects.toMatchObject(refused('candidates.values'));
  }
  expect((await both('finn')).encoded).toMatchObject({ kvSource: KvSource.APPEND, encodedTokens: 2 });
});

test('many people at one time come back with their own scores, in shared runs', async () => {
  const people = Array.from({ length: 12 }, (_, i) => `person ${i}`);
  for (const [i, person] of people.entries()) await cells.append(person, cells.actions(3 + 2 * i, 5 * i));
  const alone = [];
  for (const person of people) alone.push(await cells.shared.score(person, cells.candidates(30)));
  const together = await Promise.all(people.map((person) => cells.device.score(person, cells.candidates(30))));
  for (const [i, { probabilities }] of together.entries())
    expect(largestDifference(probabilities, alone[i]!.probabilities)).toBeLessThan(EQUAL);
  expect(largestDifference(together[0]!.probabilities, together[7]!.probabilities)).toBeGreaterThan(1e-3);
  const { measurements } = await cells.device.encoder.describe({});
  expect(measurements['onepass.device.asks']).toBeGreaterThan(measurements['onepass.device.runs']!);
});

test('another release is refused by both roles; both say where they run and what they have', async () => {
  await cells.append('eve', cells.actions(2));
  const { encoded } = await cells.device.score('eve', cells.candidates(1));
  await expect(cells.device.encode('eve', { releaseId: 'r-000000000000' })).rejects.toMatchObject({
    kind: 'release_mismatch',
  });
  const foreign = { ...encoded, kv: { ...encoded.kv!, releaseId: 'r-000000000000' } };
  await expect(cells.device.rank(foreign, cells.candidates(1))).rejects.toMatchObject({ kind: 'release_mismatch' });
  const [encoder, ranking] = await Promise.all([cells.device.encoder.describe({}), cells.device.ranking.describe({})]);
  expect(encoder).toMatchObject({ role: 'user-encoder', releaseId: cells.release.id, executionProvider: 'cpu' });
  expect(ranking).toMatchObject({ role: 'ranking', releaseId: cells.release.id, executionProvider: 'cpu' });
  expect(encoder.measurements['onepass.kv.slots.usage{onepass.kv.slot.state="held"}']).toBeGreaterThan(0);
  expect(encoder.measurements['onepass.inference.run.duration.count{onepass.graph="encode"}']).toBeGreaterThan(0);
  expect(ranking.measurements['onepass.inference.run.duration.count{onepass.graph="rank"}']).toBeGreaterThan(0);
  expect(ranking.measurements['onepass.kv.misses']).toBeGreaterThan(0);
  expect(ranking.measurements['onepass.inference.running']).toBe(0);
});

test('a cell with few slots lets people give way', async () => {
  const small = await startTwoCells({ ONEPASS_KV_SLOTS: '2', ONEPASS_KV_REST_MS: '0' });
  try {
    const people = ['one', 'two', 'three', 'four'];
    for (const [i, person] of people.entries()) await small.append(person, small.actions(4, 3 * i));
    for (const person of [...people, ...people]) {
      const [here, there] = await Promise.all(
        [small.device, small.shared].map((cell) => cell.score(person, small.candidates(5))),
      );
      expect(largestDifference(here!.probabilities, there!.probabilities)).toBeLessThan(EQUAL);
    }
  } finally {
    await small.end();
  }
});

test('who gives up leaves the others theirs, and nothing behind; a stop waits for what it has taken', async () => {
  const own = await startTwoCells({ ONEPASS_DEVICE_LANES: '1' });
  const people = Array.from({ length: 12 }, (_, i) => `person ${i}`);
  try {
    for (const [i, person] of people.entries()) await own.append(person, own.actions(20, i));
    const { encoder } = own.device;
    const request = (person: string) => ({
      releaseId: own.release.id,
      person: user(person),
      context: { surface: 'home', nowMs: BigInt(NOW) },
      queries: [{ outcome: 'any' }],
    });
    const gone = new AbortController();
    const asked = people.map((person, i) =>
      encoder.encode(request(person), i % 2 === 0 ? { signal: gone.signal } : { deadlineMs: Date.now() + 20_000 }),
    );
    setImmediate(() => gone.abort());
    const ends = await Promise.allSettled(asked);
    expect(ends.filter(({ status }, i) => i % 2 === 1 && status === 'rejected')).toEqual([]);
    for (const person of people) {
      const [here, there] = await Promise.all(
        [own.device, own.shared].map((cell) => cell.score(person, own.candidates(5))),
      );
      expect(largestDifference(here!.probabilities, there!.probabilities)).toBeLessThan(EQUAL);
    }
    const { measurements } = await encoder.describe({});
    expect(measurements['onepass.inference.running']).toBe(0);
    expect(measurements['onepass.kv.slots.leased']).toBe(0);
    for (const person of people) await own.append(person, own.actions(3, 40));
    const last = people.map((person) => encoder.encode(request(person)));
    await Promise.race(last);
    await own.running.stop();
    for (const end of await Promise.allSettled(last))
      if (end.status === 'rejected') expect(end.reason).toMatchObject({ kind: 'unavailable' });
  } finally {
    await own.end();
  }
});

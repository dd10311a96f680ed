import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  createClient,
  EmbeddingType,
  type EncodeRequestSchema,
  type EncodeResponse,
  KvSource,
  type RunningRole,
  UserEncoderService,
  unpackUint32,
} from '@onepass/contracts';
import { decodeEmbeddings, encodeEmbeddings } from '@onepass/embeddings';
import { type HistoryStore, type NewEvent, openLmdbHistory } from '@onepass/history';
import { KV_POOL_FILE, KvPoolReader, kvShape } from '@onepass/kv';
import { type Items, loadRelease, openItems, type Release } from '@onepass/release';
import { personKey } from '@onepass/routing';
import { openSharedMemory } from '@onepass/shared-memory';
import { type BundledProgram, bundleProgram, SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { userEncoderProgram } from './index.js';

const root = mkdtempSync(join(tmpdir(), 'onepass-encode-'));
const historyDir = join(root, 'data', 'history');
const NOW = Date.now();
const HOUR = 3_600_000;

let release: Release;
let items: Items;
let role: RunningRole;
let client: ReturnType<typeof createClient<typeof UserEncoderService>>;
let history: HistoryStore;
let reader: KvPoolReader;
let appender: BundledProgram;

const environment = (more: Record<string, string> = {}) => ({
  ONEPASS_PORT: '0',
  ONEPASS_RELEASE_DIR: SMOKE_RELEASE,
  ONEPASS_DATA_DIR: join(root, 'data'),
  ONEPASS_CELL_DIR: join(root, 'cell'),
  ONEPASS_LOG_LEVEL: 'silent',
  ONEPASS_KV_SLOTS: '16',
  ...more,
});

beforeAll(async () => {
  release = await loadRelease(SMOKE_RELEASE);
  items = await openItems(release);
  role = await userEncoderProgram.start(environment());
  client = createClient(UserEncoderService, role.address);
  history = openLmdbHistory(historyDir);
  reader = KvPoolReader.open(openSharedMemory(join(root, 'cell', KV_POOL_FILE)), {
    shape: kvShape(release.manifest.model),
    releaseId: release.id,
  });
  appender = await bundleProgram(new URL('./append.program.ts', import.meta.url));
});
afterAll(async () => {
  client.close();
  await role.stop();
  await history.close();
  appender.remove();
  rmSync(root, { recursive: true, force: true });
});

const user = (value: string) => ({ id: { case: 'userId' as const, value } });

/** Past actions and queries, an hour apart, over items and actions of the release. */
function actions(count: number): NewEvent[] {
  const names = release.vocabulary.actions.names;
  const surfaces = release.vocabulary.surfaces.names;
  return Array.from({ length: count }, (_, i) => ({
    eventId: `e${i}`,
    operation: 'add',
    ...(i % 4 === 2 ? { queryText: `query number ${i % 3}` } : { itemId: items.ids[(i * 7) % items.count]! }),
    actions: [names[i % names.length]!],
    surface: surfaces[i % surfaces.length]!,
    timeMs: NOW - 1000 * HOUR + i * HOUR,
  }));
}

function encode(person: string | undefined, more: MessageInitShape<typeof EncodeRequestSchema> = {}) {
  const usual: MessageInitShape<typeof EncodeRequestSchema> = {
    releaseId: release.id,
    ...(person !== undefined && { person: user(person) }),
    context: { surface: 'home', nowMs: BigInt(NOW) },
    queries: [{ outcome: 'any' }, { outcome: release.vocabulary.actions.names[0]!, offsetMs: BigInt(HOUR) }],
  };
  return client.encode(Object.assign(usual, more));
}

async function append(person: string, events: readonly NewEvent[]): Promise<void> {
  await history.append(personKey({ id: { case: 'userId', value: person } })!, events);
}

/** K and V of all layers, copied out of the shared memory. */
function kvOf({ kv }: EncodeResponse): Float32Array[] {
  const { keys, values } = reader.read(kv!);
  return [...keys, ...values].map((tensor) => tensor.slice());
}

const queriesOf = (response: EncodeResponse) =>
  decodeEmbeddings(response.queries, 'queries', release.manifest.model.itemDimension).values;

function largestDifference(one: Float32Array, other: Float32Array): number {
  expect(one).toHaveLength(other.length);
  return one.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0);
}

function expectSame(one: EncodeResponse, other: EncodeResponse): void {
  expect(largestDifference(queriesOf(one), queriesOf(other))).toBeLessThan(1e-5);
  const [a, b] = [kvOf(one), kvOf(other)];
  a.forEach((tensor, i) => {
    expect(largestDifference(tensor, b[i]!)).toBeLessThan(1e-5);
  });
}

interface VectorHistory {
  readonly name: string;
  readonly events: readonly {
    readonly item: string | null;
    readonly query: string | null;
    readonly actions: readonly string[];
    readonly surface: string;
    readonly timeMs: number;
  }[];
  readonly requests: readonly {
    readonly surface: string;
    readonly nowMs: number;
    readonly relatedItem: string | null;
    readonly queryText: string | null;
    readonly features?: Readonly<Record<string, number>>;
    readonly head: { readonly queries: readonly (readonly number[])[] };
  }[];
}

test("a history's queries are those of training's vectors: its context, text and features in them", async () => {
  const { histories }: { histories: readonly VectorHistory[] } = JSON.parse(
    readFileSync(release.path('vectors/tokens.json'), 'utf8'),
  );
  const tolerance = release.manifest.model.precision === 'fp32' ? 1e-4 : 0.1;
  for (const { name, events, requests } of histories) {
    const person = `vectors-${name}`;
    const logged = events.map(({ item, query, actions, surface, timeMs }, i): NewEvent => {
      const what = item === null ? { queryText: query! } : { itemId: item };
      return { eventId: `v${i}`, operation: 'add', ...what, actions: [...actions], surface, timeMs };
    });
    await append(person, logged);
    for (const { surface, nowMs, relatedItem, queryText, features, head } of requests) {
      const answer = await encode(person, {
        context: { surface, nowMs: BigInt(nowMs), features: { ...features } },
        relatedItemIds: relatedItem === null ? [] : [relatedItem],
        queryText: queryText ?? '',
        // The vectors' first: the first action, now.
        queries: [{ outcome: release.vocabulary.actions.names[0]! }],
      });
      expect(largestDifference(queriesOf(answer), Float32Array.from(head.queries[0]!))).toBeLessThan(tolerance);
      expect(answer.context?.features).toEqual({ ...features });
    }
  }
});

test('append equals full pass, in KV and in queries', async () => {
  const events = actions(20);
  await append('whole', events);
  let stepwise: EncodeResponse | undefined;
  for (const [from, to] of [
    [0, 1],
    [1, 9],
    [9, 20],
  ]) {
    await append('stepwise', events.slice(from, to));
    stepwise = await encode('stepwise');
  }
  expect(stepwise).toMatchObject({ kvSource: KvSource.APPEND, encodedTokens: 11 });
  const whole = await encode('whole');
  expect(whole).toMatchObject({ kvSource: KvSource.RECOMPUTE, encodedTokens: 20 });
  expectSame(stepwise!, whole);
});

test('a window that slid equals one encoded from nothing', async () => {
  const { window } = release.manifest.model;
  const events = actions(window + 5);
  await append('slid', events.slice(0, window));
  expect((await encode('slid')).kv?.length).toBe(window);
  await append('slid', events.slice(window));
  const slid = await encode('slid');
  expect(slid).toMatchObject({ kvSource: KvSource.RECOMPUTE, kv: { length: Math.floor((window * 3) / 4) } });
  await append('new', events);
  expectSame(slid, await encode('new'));
});

test('the request’s time, surface and items change queries and no past KV', async () => {
  await append('steady', actions(6));
  const first = await encode('steady');
  const before = kvOf(first);
  const later = await encode('steady', {
    context: { surface: 'related', nowMs: BigInt(NOW + 72 * HOUR) },
    relatedItemIds: [items.ids[3]!, items.ids[5]!],
  });
  expect(later.kvSource).toBe(KvSource.SLOT);
  expect(kvOf(later)).toEqual(before);
  expect(largestDifference(queriesOf(first), queriesOf(later))).toBeGreaterThan(1e-3);
  // The same from an empty slot: what was encoded beside a token does not touch it.
  await append('steady too', actions(6));
  const elsewhere = await encode('steady too', { context: { surface: 'search', nowMs: BigInt(NOW + 72 * HOUR) } });
  kvOf(elsewhere).forEach((tensor, i) => {
    expect(largestDifference(tensor, before[i]!)).toBeLessThan(1e-6);
  });
});

test('queries have unit length and differ by outcome and offset', async () => {
  const queries = queriesOf(await encode(undefined));
  const dimension = release.manifest.model.itemDimension;
  const rows = [queries.subarray(0, dimension), queries.subarray(dimension)];
  for (const row of rows) expect(Math.hypot(...row)).toBeCloseTo(1, 4);
  expect(largestDifference(rows[0]!, rows[1]!)).toBeGreaterThan(1e-4);
});

test('the context is answered as ranking must be given it', async () => {
  await append('context', actions(3));
  const related = [items.ids[3]!, items.ids[5]!];
  const { context } = await encode('context', { relatedItemIds: related });
  expect(context).toMatchObject({ surface: 'home', nowMs: BigInt(NOW), previousMs: BigInt(NOW - 998 * HOUR) });
  const { values } = decodeEmbeddings(context?.embeddings, 'context', release.manifest.model.itemDimension);
  expect([...values]).toEqual(related.flatMap((id) => [...items.embedding(items.rowOf(id)!)]));
  expect((await encode(undefined)).context?.previousMs).toBeUndefined();
});

test('a text and the embedding that comes of it are one request, as training has it', async () => {
  const vectors: { texts: readonly { text: string; embedding: number[] | null }[] } = JSON.parse(
    readFileSync(release.path('vectors/tokenizer.json'), 'utf8'),
  );
  await append('searcher', actions(7));
  const dimension = release.manifest.model.itemDimension;
  const context = { surface: 'search', nowMs: BigInt(NOW) };
  for (const { text, embedding } of vectors.texts) {
    const byText = await encode('searcher', { context, queryText: text });
    const { rows, values } = decodeEmbeddings(byText.context?.embeddings, 'context', dimension);
    expect(rows).toBe(embedding === null ? 0 : 1);
    if (embedding === null) continue;
    expect(largestDifference(values, Float32Array.from(embedding))).toBeLessThan(1e-4);
    const embeddings = encodeEmbeddings(values, dimension, EmbeddingType.F32);
    const given = await encode('searcher', { context: { ...context, embeddings } });
    expect(largestDifference(queriesOf(byText), queriesOf(given))).toBeLessThan(1e-5);
  }
  const [one, other] = ['teal mug', 'playful raised bed'].map((queryText) =>
    encode('searcher', { context, queryText }),
  );
  expect(largestDifference(queriesOf(await one!), queriesOf(await other!))).toBeGreaterThan(1e-2);
});

test('an action that another process logged is in the next Encode', async () => {
  await append('followed', actions(2));
  const before = await encode('followed');
  const key = personKey(user('followed'))!;
  const event = { ...actions(1)[0]!, eventId: 'elsewhere', itemId: items.ids[9]! };
  await promisify(execFile)(process.execPath, [appender.path, historyDir, key, JSON.stringify([event])]);
  const after = await encode('followed', { minimumHistorySequence: 3n });
  expect(after).toMatchObject({ kvSource: KvSource.APPEND, encodedTokens: 1, kv: { historySequence: 3n } });
  expect(after.kv?.generation).toBe(before.kv?.generation);
  expect(unpackUint32(after.seenRows, 'seen_rows')).toContain(9);
});

test('Forget drops a person’s KV; whom it is about must be said', async () => {
  await append('forgotten', actions(4));
  const before = await encode('forgotten');
  await history.forget(personKey(user('forgotten'))!);
  await client.forget({ person: user('forgotten') });
  expect(() => kvOf(before)).toThrow('KV miss');
  expect(await encode('forgotten')).toMatchObject({ kvSource: KvSource.EMPTY, seenRows: new Uint8Array(0) });
  await expect(client.forget({})).rejects.toThrow('person: must name a user or a visitor');
});

test('another release is FAILED_PRECONDITION', async () => {
  await expect(encode('anna', { releaseId: 'r-000000000000' })).rejects.toMatchObject({
    detail: { kind: 'release_mismatch', expected: release.id, actual: 'r-000000000000' },
  });
});

test('wrong input names its field', async () => {
  await expect(encode('x'.repeat(129))).rejects.toMatchObject({ kind: 'invalid_argument' });
  await expect(encode('anna', { relatedItemIds: ['no such item'] })).rejects.toThrow('related_item_ids[0]');
  await expect(encode('anna', { queries: [{ outcome: 'applause' }] })).rejects.toThrow('queries[0].outcome');
  const context = { surface: 'billboard', nowMs: BigInt(NOW) };
  await expect(encode('anna', { context })).rejects.toThrow('context.surface');
});

test('stage timings and measurements are told', async () => {
  const { stages } = await encode('timed');
  expect(stages.map((s) => s.stage).sort()).toEqual(['encode', 'head', 'history', 'queue']);
  const described = await client.describe({});
  expect(described).toMatchObject({ role: 'user-encoder', releaseId: release.id, executionProvider: 'cpu' });
  for (const source of ['slot', 'append', 'recompute', 'empty']) {
    expect(described.measurements[`onepass.kv.requests{onepass.kv.source="${source}"}`]).toBeGreaterThan(0);
  }
  expect(described.measurements['onepass.kv.slots.usage{onepass.kv.slot.state="held"}']).toBeGreaterThan(0);
  expect(Object.keys(described.measurements)).toContain('nodejs.eventloop.delay.p99');
});

test('with a warm tier it says at start for whom it is used, and answers as without', async () => {
  const place = { ONEPASS_CELL_DIR: join(root, 'warm cell'), ONEPASS_DATA_DIR: join(root, 'warm data') };
  const warm = await userEncoderProgram.start(environment({ ...place, ONEPASS_WARM_TIER: 'disk' }));
  const other = createClient(UserEncoderService, warm.address);
  const { measurements } = await other.describe({});
  expect(measurements['onepass.warm.entries']).toBe(0);
  expect(measurements['onepass.warm.finds{onepass.warm.find="hit"}']).toBe(0);
  other.close();
  await warm.stop();
  const redis = userEncoderProgram.start(environment({ ...place, ONEPASS_WARM_TIER: 'redis' }));
  await expect(redis).rejects.toThrow('ONEPASS_WARM_REDIS is not set, and ONEPASS_WARM_TIER is redis');
});

test('what keeps it from starting is one sentence', async () => {
  const start = (more: Record<string, string>) => userEncoderProgram.start(environment(more));
  await expect(start({ ONEPASS_RELEASE_DIR: join(root, 'none') })).rejects.toMatchObject({ kind: 'startup' });
  await expect(start({ ONEPASS_KV_SLOTS: 'many' })).rejects.toThrow('ONEPASS_KV_SLOTS: must be a whole number');
  const inFile = join(appender.path, 'cell');
  await expect(start({ ONEPASS_CELL_DIR: inFile })).rejects.toThrow(`ONEPASS_CELL_DIR: ${inFile} cannot be made`);
  const port = role.address.split(':')[1]!;
  const cell = { ONEPASS_CELL_DIR: join(root, 'other cell'), ONEPASS_DATA_DIR: join(root, 'other data') };
  await expect(start({ ...cell, ONEPASS_PORT: port })).rejects.toThrow('the port is in use');
});

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, KvSource, type OnepassClient, Operation, user, visitor } from '@onepass/client';
import { EmbeddingType } from '@onepass/contracts';
import { encodeEmbedding } from '@onepass/embeddings';
import { type LoggedSlate, openStores, type SlateStore, type StoreSettings } from '@onepass/history';
import { Mesh } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import { personKey } from '@onepass/routing';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { exportLogs, replay, runExport, TOLERANCE } from './index.js';
import { PersonRows } from './person-rows.js';
import type { EventRow, SlateRow } from './schema.js';

const root = mkdtempSync(join(tmpdir(), 'onepass-export-'));
const dataDir = join(root, 'data');
const out = join(root, 'export');
const stores: StoreSettings = { history: 'lmdb', historyTimeoutMs: 5_000, historyChecked: 'no', dataDir };
/** Other tests take the processor. */
const overrides = { gateway: { ONEPASS_BUDGET_MS: '30000' } };
/** Long enough to be found nowhere by chance. */
const ADA = 'ada-whose-id-must-be-nowhere';
const QUERY = 'a query that only ada made';
const keyOf = (id: string) => personKey(user(id)) as string;

let mesh: Mesh;
let onepass: OnepassClient;
let slates = 0;
/** Of requests, as far as the release declares any. */
let features: Record<string, number> = {};
beforeAll(async () => {
  mesh = await Mesh.prepare({ releaseDir: SMOKE_RELEASE, port: undefined, dataDir, overrides });
  await mesh.start();
  onepass = connect(mesh.address('gateway'), { tls: mesh.tls });
  const { requestFeatures } = await onepass.describe({});
  features = Object.fromEntries(requestFeatures.map((name, i) => [name, i + 0.25]));
});
afterAll(async () => {
  onepass.close();
  await mesh.stop();
  rmSync(root, { recursive: true, force: true });
});

type Person = ReturnType<typeof user> | ReturnType<typeof visitor>;

async function page(person: Person | undefined, more: object = {}) {
  slates++;
  return onepass.recommend({ ...(person && { person }), surface: 'home', pageSize: 5, ...more });
}

let events = 0;
function log(person: Person, itemId: string, more: object = {}) {
  const event = { eventId: `e${events++}`, itemId, actions: ['click', 'save'], surface: 'home', ...more };
  return onepass.logActions({ person, events: [event] });
}

const related = (...itemIds: string[]) => ({ surface: 'related', context: { case: 'related', value: { itemIds } } });

/** Pages of every kind of KV, of four persons and of nobody. */
async function live(): Promise<void> {
  const release = await loadRelease(SMOKE_RELEASE);
  const items = await openItems(release);
  const ids = items.ids;
  const sources: KvSource[] = [];
  // Ada: acts, takes some back, asks for more of the like.
  const ada = user(ADA);
  const first = await page(ada);
  for (let i = 0; i < 6; i++) await log(ada, ids[3 * i]!, { slateId: first.slateId, position: i });
  sources.push((await page(ada)).kvSource, (await page(ada)).kvSource);
  await log(ada, ids[50]!);
  sources.push((await page(ada, related(ids[50]!, ids[51]!))).kvSource);
  await log(ada, '', { eventId: 'e2', operation: Operation.RETRACT, actions: [] });
  sources.push((await page(ada)).kvSource);
  await log(ada, '', { queryText: QUERY });
  const last = await page(ada, { utilityWeights: { save: 7 }, features });
  await onepass.logSlate({
    person: ada,
    slateId: last.slateId,
    items: [
      { itemId: last.items[0]!.itemId, visible: true, actions: ['click'] },
      { itemId: last.items[1]!.itemId, visible: false },
    ],
  });
  expect(sources).toEqual([KvSource.RECOMPUTE, KvSource.SLOT, KvSource.APPEND, KvSource.RECOMPUTE]);
  // Bea: more than a window holds, page after page.
  const bea = visitor('bea');
  for (let i = 0; i < 60; i++) {
    await log(bea, ids[(7 * i) % ids.length]!, { timeMs: BigInt(1_700_000_000_000 + 3_600_000 * i) });
    if (i % 6 === 5) await page(bea, { requestId: `bea-${i}` });
  }
  await page(bea, { requestId: 'bea-59' });
  slates--;
  // Cat searches by an embedding and turns pages; what she acts on is unknown, and known under no name.
  const cat = user('cat');
  const query = { case: 'embedding', value: encodeEmbedding(items.embedding(9), EmbeddingType.F32) };
  const search = { surface: 'search', context: { case: 'search', value: { query } } };
  await log(cat, 'no-such-item');
  await log(cat, ids[9]!, { actions: ['no_such_action'] });
  const found = await page(cat, search);
  await page(cat, { ...search, pageToken: found.nextPageToken });
  await page(cat, {
    surface: 'search',
    context: { case: 'search', value: { query: { case: 'text', value: 'lamp' } } },
  });
  await page(undefined);
  await onepass.logSlate({
    person: cat,
    slateId: 'theirs',
    surface: 'home',
    foreign: true,
    features: { mood: -0.1, hour: 8 },
    items: [{ itemId: ids[1]!, position: 3, visible: true, actions: ['hide'] }],
  });
  slates++;
}

/** With all slates written that were served so far. */
async function opened() {
  const open = await openStores(stores);
  await vi.waitFor(async () => {
    let count = 0;
    for await (const _ of open.slates.all()) count++;
    expect(count).toBe(slates);
  });
  return { ...open, close: () => Promise.all([open.history.close(), open.slates.close()]) };
}

const rowsOf = <Row extends { readonly person: string | undefined }>(file: string) =>
  PersonRows.open<Row>(join(out, file));

test('an export holds every event and every slate as it was served, with what became of it', async () => {
  await live();
  const { history, slates: store, close } = await opened();
  const manifest = await exportLogs({ history, slates: store, out });
  const { releaseId } = await onepass.describe({});
  expect(manifest).toMatchObject({
    schema_version: 1,
    since_ms: null,
    events: 71,
    persons: 3,
    slates,
    foreign_slates: 1,
    slates_with_outcomes: 2,
    releases: { [releaseId]: slates - 1 },
  });
  expect(JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'))).toEqual(manifest);
  const adaEvents = await (await rowsOf<EventRow>('events.parquet')).of(keyOf(ADA));
  expect(adaEvents.map((event) => Number(event.sequence))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const { head, events: held } = await history.tail(keyOf(ADA), 0, 100);
  expect(adaEvents.at(-1)?.hash).toBe(head.hash.toString(16).padStart(16, '0'));
  expect(adaEvents[1]).toEqual({
    person: keyOf(ADA),
    sequence: 2n,
    hash: held[1]!.hash.toString(16).padStart(16, '0'),
    event_id: 'e1',
    operation: 'add',
    item_id: held[1]!.itemId,
    actions: ['click', 'save'],
    surface: 'home',
    time_ms: BigInt(held[1]!.timeMs),
    effective_ms: BigInt(held[1]!.effectiveMs),
    slate_id: held[1]!.slateId,
    position: 1n,
  });
  expect(adaEvents[7]).toMatchObject({ operation: 'retract', event_id: 'e2', retracts: 3n, actions: [] });
  expect(adaEvents[8]).toMatchObject({ query_text: QUERY });
  const slateRows = await rowsOf<SlateRow>('slates.parquet');
  const adaSlates = await slateRows.of(keyOf(ADA));
  expect(adaSlates.map((slate) => Number(slate.history_sequence))).toEqual([0, 6, 6, 7, 8, 9]);
  expect(adaSlates.map((slate) => slate.features ?? {})).toEqual([{}, {}, {}, {}, {}, features]);
  expect(adaSlates[3]).toMatchObject({ surface: 'related', release_id: releaseId, foreign: false, degraded: [] });
  expect(adaSlates[3]?.related_item_ids).toHaveLength(2);
  expect(adaSlates[5]?.items.map(({ visible, actions }) => [visible, actions])).toEqual([
    [true, ['click']],
    [false, []],
    ...Array(3).fill([undefined, undefined]),
  ]);
  const [foreign] = (await slateRows.of(keyOf('cat'))).filter((slate) => slate.foreign);
  expect(foreign).toMatchObject({ slate_id: 'theirs', release_id: '', history_sequence: 2n, actions: [] });
  expect(foreign?.features).toEqual({ mood: -0.1, hour: 8 });
  expect(foreign?.items).toMatchObject([{ position: 3n, visible: true, actions: ['hide'], probabilities: [] }]);
  const [search] = (await slateRows.of(keyOf('cat'))).filter((slate) => slate.surface === 'search');
  expect(search?.query_embedding).toHaveLength((await onepass.describe({})).limits!.itemDimension);
  expect((await slateRows.of(keyOf('cat'))).map((slate) => slate.query_text)).toContain('lamp');
  expect(await slateRows.of('')).toHaveLength(1);
  await close();
});

test('replayed, every slate scores as it was served; one that was changed is found', { timeout: 60_000 }, async () => {
  const report = await replay({ directory: out, releaseDir: SMOKE_RELEASE });
  const leftOut = Object.entries(report.leftOut).filter(([, count]) => count > 0);
  expect(leftOut).toEqual([['foreign', 1]]);
  expect(report.whole.slates + report.longer.slates).toBe(slates - 1);
  expect(report.longer.slates).toBe(5);
  for (const scale of [report.whole, report.longer]) {
    expect(scale.probabilities.max).toBeLessThanOrEqual(TOLERANCE);
    expect(scale.utilities.max).toBeLessThanOrEqual(TOLERANCE);
    expect(scale.otherHistories).toBe(0);
  }
  expect(report.whole.ownWeights).toBe(1);

  const { history, slates: store, close } = await opened();
  const changed: SlateStore = { ...store, all: () => changedSlates(store.all()) };
  const { sinceMs } = { sinceMs: Date.now() - 3_600_000 };
  await exportLogs({ history, slates: changed, out: join(root, 'changed'), sinceMs });
  await close();
  const said: string[] = [];
  vi.spyOn(console, 'log').mockImplementation((line) => void said.push(line));
  expect(await runExport(['--replay', join(root, 'changed'), '--release', SMOKE_RELEASE])).toBe(1);
  vi.restoreAllMocks();
  expect(said.join('\n')).toMatch(/left out +1 slates: another release\n/);
  expect(said.join('\n')).toMatch(/compared +1 slates\n +probabilities +max 1\.0e-2, /);
  expect(said.at(-1)).toMatch(/differs by more than 0\.0001$/);
});

/** Nobody's slate with a probability moved by a hundredth, and one of another release. */
async function* changedSlates(all: AsyncIterable<LoggedSlate>): AsyncIterable<LoggedSlate> {
  for await (const slate of all) {
    if (slate.person !== undefined) continue;
    const items = slate.items.map((item) => ({ ...item, probabilities: item.probabilities.map((p) => p + 0.01) }));
    yield { ...slate, items };
    yield { ...slate, slateId: 'older', releaseId: 'r-older' };
  }
}

/** Files below `directory` that hold any of `words`. */
function filesWith(directory: string, ...words: (string | Buffer)[]): string[] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name));
  return paths.filter((path) => words.some((word) => readFileSync(path).includes(word)));
}

test('a person who is forgotten is in no file: data, logs, KV pool, the next export', { timeout: 60_000 }, async () => {
  const cellDir = mesh.plans[0]?.env.ONEPASS_CELL_DIR ?? '';
  const key = Buffer.from(keyOf(ADA), 'hex');
  expect(filesWith(cellDir, key)).toHaveLength(1);
  expect(filesWith(dataDir, key, QUERY)).not.toEqual([]);
  await onepass.forgetPerson({ person: user(ADA) });
  await onepass.forgetPerson({ person: user(ADA) });
  expect(filesWith(cellDir, ADA, key, QUERY)).toEqual([]);
  expect(filesWith(dataDir, ADA)).toEqual([]);
  expect(filesWith(mesh.logDir, ADA, keyOf(ADA), QUERY)).toEqual([]);
  const fresh = await page(user(ADA));
  expect(fresh).toMatchObject({ historySequence: 0n, kvSource: KvSource.EMPTY });
  await onepass.forgetPerson({ person: user(ADA) });
  slates -= 7;
  const { history, slates: store, close } = await opened();
  // In the place of the export that held her.
  expect(filesWith(out, keyOf(ADA))).toHaveLength(2);
  expect(await exportLogs({ history, slates: store, out })).toMatchObject({ persons: 2, slates });
  await close();
  expect(filesWith(out, ADA, key, keyOf(ADA), QUERY)).toEqual([]);
  onepass.close();
  await mesh.stop();
  // LMDB leaves deleted bytes in its files until they are compacted.
  vi.spyOn(console, 'log').mockImplementation(() => {});
  expect(await runExport(['--compact', '--data', dataDir])).toBe(0);
  vi.restoreAllMocks();
  expect(filesWith(dataDir, ADA, key, keyOf(ADA), QUERY)).toEqual([]);
  expect(statSync(join(dataDir, 'history', 'data.mdb')).size).toBeGreaterThan(0);
});

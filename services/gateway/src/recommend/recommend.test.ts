import { EmbeddingType, FilteredItem_Reason, KvSource, Mode, Priority, type retrieval, View } from '@onepass/contracts';
import { encodeEmbedding } from '@onepass/embeddings';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { errorOf, idsOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { excludedBy } from '../testing/stages.js';
import { itemId, RELEASE_ID } from '../testing/world.js';

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(() => mesh.stop());
beforeEach(() => {
  for (const stage of [mesh.encoder, mesh.retrieval, mesh.ranking]) stage.requests.length = 0;
  mesh.encoder.seen = [];
  mesh.ranking.broken = [];
});

const home = (more: object = {}) => mesh.recommendation.recommend({ person: user('ada'), surface: 'home', ...more });
const ids = (...numbers: number[]) => numbers.map(itemId);
const embedding = (...numbers: number[]) => encodeEmbedding(Float32Array.from(numbers), EmbeddingType.F32);

test('a home page: one encode, one search, one rank, best utility first', async () => {
  mesh.encoder.seen = ids(99);
  const page = await home({ pageSize: 3, excludedItemIds: ids(97), features: { hour: 8 } });
  expect(idsOf(page)).toEqual(ids(98, 96, 95));
  expect(page.items.map((item) => item.position)).toEqual([0, 1, 2]);
  expect(page.items[0]).toMatchObject({
    utility: 98 / 128,
    probabilities: [98 / 128, 0],
    sources: [{ name: 'retrieval', outcome: 'any', rank: 48 }],
  });
  expect(page).toMatchObject({
    releaseId: RELEASE_ID,
    historySequence: 7n,
    historyHash: 9n,
    coverage: { shardsTotal: 2, shardsAnswered: 2 },
    degraded: [],
    warnings: [],
    kvSource: KvSource.APPEND,
    actions: ['click', 'hide'],
  });
  expect(page.stages.map((s) => s.stage)).toEqual(['encode', 'retrieve', 'rank', 'page']);
  expect(page.slateId).toMatch(/^s-/);
  expect(page.requestId).not.toBe('');
  expect([mesh.encoder, mesh.retrieval, mesh.ranking].map((stage) => stage.requests.length)).toEqual([1, 1, 1]);
  expect(mesh.encoder.last).toMatchObject({
    releaseId: RELEASE_ID,
    context: { surface: 'home', features: { hour: 8 } },
    queries: [
      { outcome: 'click', offsetMs: 0n },
      { outcome: 'any', offsetMs: 3_600_000n },
    ],
  });
  expect(mesh.retrieval.last).toMatchObject({ limit: 200, popularSurface: '', excludedItemIds: ids(97) });
  expect([...excludedBy(mesh.retrieval.last as retrieval.SearchRequest)].sort()).toEqual(ids(97, 99));
  expect(mesh.ranking.last).toMatchObject({
    kv: { length: 1 },
    context: { previousMs: 5n, features: { hour: 8 } },
    kvSource: KvSource.APPEND,
  });
});

test('budgets, weights, filters and the least sequence reach the stages as they were meant', async () => {
  await mesh.events.logActions({
    person: user('bob'),
    events: [{ eventId: 'e', itemId: itemId(1), actions: ['click'], surface: 'home' }],
  });
  const page = await mesh.recommendation.recommend({
    person: user('bob'),
    surface: 'home',
    outcomeBudgets: [
      { outcome: 'hide', share: 3, offsetMs: 60_000n },
      { outcome: 'click', share: 1 },
      { outcome: 'any', share: 0 },
    ],
    utilityWeights: { click: -1 },
    filters: [{ attribute: 'price', condition: { case: 'range', value: { minimum: 10, maximum: 30 } } }],
    minimumHistorySequence: 1n,
    pageSize: 2,
    view: View.EXPLAIN,
  });
  expect(idsOf(page)).toEqual(ids(10, 11));
  expect(page.explanation).toMatchObject({ retrieved: 21, ranked: 21, utilityWeights: { click: -1, hide: -1 } });
  expect(page.explanation?.outcomeBudgets.map((b) => [b.outcome, b.share])).toEqual([
    ['hide', 0.75],
    ['click', 0.25],
  ]);
  const ranked = page.explanation?.filtered.filter((f) => f.reason !== FilteredItem_Reason.ATTRIBUTE);
  expect(ranked).toHaveLength(19);
  expect(mesh.encoder.last).toMatchObject({ minimumHistorySequence: 1n, queries: [{ offsetMs: 60_000n }, {}] });
  expect(mesh.retrieval.last).toMatchObject({ budgets: [{ share: 0.75 }, { share: 0.25 }] });
});

test('a pinned release answers; a request has its own now; both are part of what a request id stands for', async () => {
  const replayed = await home({ releaseId: RELEASE_ID, asOfMs: 1_700_000_000_000n, requestId: 'replay' });
  expect(replayed.releaseId).toBe(RELEASE_ID);
  expect(mesh.encoder.last.context?.nowMs).toBe(1_700_000_000_000n);
  expect(mesh.ranking.last.context?.nowMs).toBe(1_700_000_000_000n);
  const again = { releaseId: RELEASE_ID, requestId: 'replay' };
  expect(await home({ ...again, asOfMs: 1_700_000_000_000n, priority: Priority.BATCH })).toEqual(replayed);
  expect((await errorOf(home({ ...again, asOfMs: 1_700_000_000_001n })))[1]).toMatch('was used for another request');
});

test('related and search pages carry their context; nobody and an unknown person get a page', async () => {
  const related = { case: 'related', value: { itemIds: ids(1, 2) } } as const;
  expect((await mesh.recommendation.recommend({ surface: 'related', context: related })).items).toHaveLength(20);
  expect(mesh.encoder.last).toMatchObject({ relatedItemIds: ids(1, 2) });
  expect(mesh.encoder.last.person).toBeUndefined();
  // A page about items does not show them.
  expect(mesh.retrieval.last).toMatchObject({ excludedItemIds: ids(1, 2) });
  const query = { case: 'embedding', value: embedding(1, 2, 3, 4) } as const;
  const search = { case: 'search', value: { query } } as const;
  await mesh.recommendation.recommend({ surface: 'search', context: search, person: user('nobody knows') });
  expect(mesh.encoder.last.context?.embeddings).toMatchObject({ dimension: 4, type: EmbeddingType.F32 });
  expect(mesh.encoder.last.queryText).toBe('');
});

test('a text goes to the encoder, and ranking is given the context that it answers', async () => {
  const byText = (value: string, more: object = {}) =>
    mesh.recommendation.recommend({
      surface: 'search',
      context: { case: 'search', value: { query: { case: 'text', value } } },
      ...more,
    });
  const { nextPageToken: pageToken } = await byText(' Boats ');
  expect(mesh.encoder.last).toMatchObject({ queryText: ' Boats ', context: { surface: 'search' } });
  expect(mesh.encoder.last.context?.embeddings).toBeUndefined();
  const { values } = mesh.ranking.last.context!.embeddings!;
  expect([...values]).toEqual([...mesh.encoder.textEmbedding.values]);
  expect((await byText(' Boats ', { pageToken })).items).toHaveLength(20);
  expect((await errorOf(byText('ships', { pageToken })))[1]).toMatch('belongs to another surface, context or mode');
});

test('views: basic has ids, positions and utility; what is not a number is never shown', async () => {
  mesh.ranking.broken = [99];
  const basic = await home({ view: View.BASIC, pageSize: 1 });
  expect(basic.items[0]).toMatchObject({ itemId: itemId(98), probabilities: [], sources: [] });
  expect([basic.actions, basic.explanation]).toEqual([[], undefined]);
  const explained = await home({ view: View.EXPLAIN, pageSize: 1 });
  const reasons = new Map(explained.explanation?.filtered.map((f) => [f.itemId, f.reason]));
  expect(reasons.get(itemId(99))).toBe(FilteredItem_Reason.NOT_A_NUMBER);
  expect(reasons.get(itemId(97))).toBe(FilteredItem_Reason.BELOW_PAGE);
});

test('retrieve only keeps the order of retrieval and does not ask ranking', async () => {
  const page = await home({ mode: Mode.RETRIEVE_ONLY, pageSize: 2 });
  expect(idsOf(page)).toEqual(ids(0, 1));
  expect(page.items[1]?.utility).toBe(1 - 1 / 128);
  expect([page.degraded, mesh.ranking.requests.length]).toEqual([[], 0]);
});

test('score only: the external candidates, all of them, seen or not, nothing retrieved', async () => {
  mesh.encoder.seen = ids(5);
  const page = await home({
    mode: Mode.SCORE_ONLY,
    pageSize: 1,
    features: { hour: 8 },
    externalCandidates: [
      { itemId: itemId(5), source: 'ads' },
      { itemId: 'mine', embedding: embedding(0.5, 0, 0.25, 0) },
      { itemId: itemId(60) },
      { itemId: 'unknown' },
    ],
    view: View.EXPLAIN,
  });
  expect(idsOf(page)).toEqual([itemId(60), 'mine', itemId(5)]);
  expect(mesh.encoder.last.queries).toEqual([]);
  expect(mesh.ranking.last.context?.features).toEqual({ hour: 8 });
  expect(page.items.map((item) => item.sources[0]?.name)).toEqual(['external', 'external', 'ads']);
  expect(page.items[1]?.probabilities).toEqual([0.5, 0.25]);
  expect(page.nextPageToken).toBe('');
  expect(page.warnings).toEqual(['the release does not know 1 of the external candidates']);
  expect(page.explanation?.filtered).toMatchObject([{ itemId: 'unknown', reason: FilteredItem_Reason.UNKNOWN_ITEM }]);
  expect(await errorOf(home({ mode: Mode.SCORE_ONLY, externalCandidates: [{ itemId: 'unknown' }] }))).toEqual([
    'invalid_argument',
    'external_candidates: the release knows none of the items',
  ]);
});

test('external candidates beside retrieved ones: sources merge, filters and exclusions hold', async () => {
  mesh.encoder.seen = ids(7);
  const page = await home({
    pageSize: 4,
    candidates: 10,
    filters: [{ attribute: 'topic', condition: { case: 'noneOf', value: { values: ['wood'] } } }],
    excludedItemIds: ids(80),
    externalCandidates: [
      { itemId: itemId(10), source: 'ads' },
      { itemId: itemId(10), source: 'editors' },
      { itemId: itemId(99) },
      { itemId: itemId(80) },
      { itemId: itemId(7) },
      { itemId: itemId(6) },
      { itemId: 'mine', embedding: embedding(1, 0, 0, 0) },
    ],
    view: View.EXPLAIN,
  });
  expect(idsOf(page)).toEqual(ids(99, 13, 12, 10));
  expect(page.items[3]?.sources.map((s) => [s.name, s.rank])).toEqual([
    ['retrieval', 3],
    ['ads', 0],
    ['editors', 1],
  ]);
  const external = page.explanation?.filtered.filter((f) =>
    [itemId(80), itemId(7), itemId(6), 'mine'].includes(f.itemId),
  );
  expect(external?.map((f) => [f.itemId, FilteredItem_Reason[f.reason]])).toEqual([
    [itemId(6), 'ATTRIBUTE'],
    [itemId(7), 'SEEN'],
    ['mine', 'UNKNOWN_ITEM'],
    [itemId(80), 'EXCLUDED'],
  ]);
});

test('diversity by attribute windows', async () => {
  const page = await home({ pageSize: 6, diversity: { windows: [{ attribute: 'topic', window: 6, maximum: 1 }] } });
  expect(idsOf(page)).toEqual(ids(99, 98, 97, 96, 95));
  expect(page.warnings).toEqual(['diversity leaves 1 places of the page empty']);
});

test('windows look back into the pages before; pages that were asked for otherwise are named', async () => {
  const topic = (i: number) => Number(i) % 5;
  const rule = (window: number) => ({ windows: [{ attribute: 'topic', window, maximum: 1 }] });
  const shown: string[] = [];
  let pageToken = '';
  for (let i = 0; i < 6; i++) {
    const page = await home({ pageSize: 3, pageToken, diversity: rule(5) });
    expect(page.warnings).toEqual([]);
    shown.push(...idsOf(page));
    pageToken = page.nextPageToken;
  }
  const topics = shown.map((id) => topic(Number(id.slice(5))));
  for (let i = 0; i + 5 <= topics.length; i++) expect(new Set(topics.slice(i, i + 5)).size).toBe(5);
  const plain = await home({ pageSize: 3 });
  const next = await home({ pageSize: 3, pageToken: plain.nextPageToken, diversity: rule(3) });
  expect(next.warnings).toEqual([
    'diversity of "topic" does not count all pages before: they were asked for otherwise',
  ]);
});

test('a walk over pages repeats nothing, skips nothing and ends', async () => {
  const walked: string[] = [];
  let pageToken = '';
  do {
    const page = await home({ pageSize: 12, pageToken, candidates: 30 });
    expect(page.items.map((item) => item.position)).toEqual(page.items.map((_, i) => walked.length + i));
    walked.push(...idsOf(page));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  expect(walked.toSorted()).toEqual(Array.from({ length: 100 }, (_, i) => itemId(i)));
});

test('nothing left under the filters is an empty page with a warning', async () => {
  const filters = [{ attribute: 'price', condition: { case: 'range', value: { minimum: 1000 } } }];
  const page = await home({ filters });
  expect(page.items).toEqual([]);
  expect(page.warnings[0]).toMatch(/^the page is empty/);
});

test('a retry by request id gets the same slate; the same id for another request is refused', async () => {
  const request = { requestId: 'r1', pageSize: 2, utilityWeights: { click: 1, hide: -1 } };
  const [first, second] = await Promise.all([home(request), home(request)]);
  const reordered = await home({ ...request, utilityWeights: { hide: -1, click: 1 } });
  expect([second, reordered]).toEqual([first, first]);
  expect(mesh.encoder.requests).toHaveLength(1);
  expect(await errorOf(home({ ...request, pageSize: 3 }))).toEqual([
    'invalid_argument',
    'request_id: was used for another request within the last 10 minutes',
  ]);
  const other = await mesh.recommendation.recommend({ ...request, person: user('eve'), surface: 'home' });
  expect(other.slateId).not.toBe(first.slateId);
});

test('a retry after a failure is served anew', async () => {
  mesh.encoder.before = () => mesh.retrieval.fail(new Error('broken'));
  const filters = [{ attribute: 'topic', condition: { case: 'anyOf', value: { values: ['sea'] } } }];
  expect((await errorOf(home({ requestId: 'r2', filters })))[0]).toBe('unavailable');
  mesh.encoder.before = () => {};
  mesh.retrieval.before = () => {};
  expect((await home({ requestId: 'r2', filters })).items).toHaveLength(20);
});

test('a caller that goes away takes the work with it', async () => {
  const gone = new AbortController();
  const taken = new Promise<AbortSignal>((resolve) => {
    mesh.encoder.before = (_, call) => {
      resolve(call.signal);
      return new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)));
    };
  });
  const call = mesh.recommendation.recommend({ surface: 'home' }, { signal: gone.signal });
  const signal = await taken;
  gone.abort();
  expect((await errorOf(call))[0]).toBe('cancelled');
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  mesh.encoder.before = () => {};
  expect(mesh.retrieval.requests).toEqual([]);
});

import {
  EmbeddingType,
  type FilteredItem,
  FilteredItem_Reason,
  type RecommendResponse,
  View,
} from '@onepass/contracts';
import { encodeEmbedding } from '@onepass/embeddings';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { idsOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { ITEMS, itemId } from '../testing/world.js';

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(() => mesh.stop());
beforeEach(() => {
  mesh.encoder.seen = [];
  mesh.ranking.broken = [];
});

const home = (more: object = {}) => mesh.recommendation.recommend({ person: user('ada'), surface: 'home', ...more });
const explained = (more: object = {}) => home({ ...more, view: View.EXPLAIN });
const ids = (...numbers: number[]) => numbers.map(itemId);
const not = (...values: string[]) => ({ attribute: 'topic', condition: { case: 'noneOf', value: { values } } });
const from = (minimum: number) => ({ attribute: 'price', condition: { case: 'range', value: { minimum } } });
const own = (id: string) => ({
  itemId: id,
  source: 'ads',
  embedding: encodeEmbedding(Float32Array.of(0.5, 0, 0.25, 0), EmbeddingType.F32),
});

function filteredOf(page: RecommendResponse): Map<string, FilteredItem> {
  const filtered = page.explanation?.filtered ?? [];
  const byId = new Map(filtered.map((item) => [item.itemId, item]));
  expect(byId.size).toBe(filtered.length);
  return byId;
}

/** Reason and detail of one item. */
function why(page: RecommendResponse, id: string): string | undefined {
  const item = filteredOf(page).get(id);
  return item && [FilteredItem_Reason[item.reason], item.detail].join(' ').trim();
}

test('each item of the page: what its utility is made of, its place by utility, who brought it', async () => {
  const page = await explained({
    pageSize: 3,
    utilityWeights: { click: 2.5, hide: -3 },
    externalCandidates: [own('mine')],
    diversity: { windows: [{ attribute: 'topic', window: 3, maximum: 1 }] },
    excludedItemIds: ids(98),
  });
  expect(idsOf(page)).toEqual(ids(99, 97, 96));
  for (const [i, { itemId, contributions, utilityRank }] of page.explanation!.items.entries()) {
    const item = page.items[i]!;
    expect(itemId).toBe(item.itemId);
    const sum = Object.values(contributions).reduce((a, b) => a + b, 0);
    expect(Math.abs(sum - item.utility)).toBeLessThan(1e-6);
    expect(contributions).toEqual({ click: 2.5 * item.probabilities[0]!, hide: -3 * item.probabilities[1]! });
    expect(utilityRank).toBe(i);
    expect(item.sources[0]).toMatchObject({ name: 'retrieval' });
  }
  expect(page.explanation).toMatchObject({ retrieved: 99, ranked: 100, mergedInto: [0, 1] });
});

test('each item that is not: the first rule against it, its number and who would have brought it', async () => {
  mesh.encoder.seen = ids(90);
  mesh.ranking.broken = [0];
  const first = await home({ pageSize: 2 });
  expect(idsOf(first)).toEqual(ids(99, 98));
  const filters = [from(1), not('sky', 'desert')];
  const page = await explained({
    pageToken: (await home({ pageSize: 2, filters })).nextPageToken,
    pageSize: 2,
    filters,
    excludedItemIds: ids(91, 3),
    externalCandidates: [own('mine'), { itemId: itemId(93), source: 'editors' }, { itemId: itemId(90) }],
    diversity: { windows: [{ attribute: 'topic', window: 2, maximum: 1 }] },
  });
  expect(idsOf(page)).toEqual(ids(95, 92));
  expect(why(page, itemId(97))).toBe('RETURNED_BEFORE');
  expect(why(page, itemId(0))).toBe('ATTRIBUTE filters[0]: price range');
  expect(why(page, itemId(99))).toBe('ATTRIBUTE filters[1]: topic none_of');
  expect(why(page, itemId(93))).toBe('ATTRIBUTE filters[1]: topic none_of');
  expect(why(page, itemId(3))).toBe('EXCLUDED');
  expect(why(page, itemId(90))).toBe('SEEN');
  expect(why(page, 'mine')).toBe('UNKNOWN_ITEM');
  // The first of retrieval's candidates is item 1.
  expect(why(page, itemId(1))).toBe('NOT_A_NUMBER');
  expect(why(page, itemId(86))).toBe('BELOW_PAGE');
  expect(why(page, itemId(92))).toBeUndefined();
  const filtered = filteredOf(page);
  expect(filtered.get(itemId(93))?.sources).toMatchObject([
    { name: 'retrieval', rank: 93 },
    { name: 'editors', rank: 1 },
  ]);
  expect(filtered.get(itemId(1))?.utility).toBe(0);
  expect(filtered.get(itemId(86))?.utility).toBe(86 / 128);
});

test('diversity: the window that was full where the item could have stood last', async () => {
  const windows = [
    { attribute: 'price', window: 9, maximum: 1 },
    { attribute: 'topic', window: 4, maximum: 1 },
  ];
  const page = await explained({ pageSize: 4, candidates: 100, diversity: { windows }, excludedItemIds: ids(98, 97) });
  expect(idsOf(page)).toEqual(ids(99, 96, 95, 93));
  expect(why(page, itemId(94))).toBe('DIVERSITY diversity.windows[1]: 1 of topic "desert" in 4 positions');
  expect(why(page, itemId(92))).toBe('BELOW_PAGE');
});

test('degraded pages are explained as far as they were made', async () => {
  mesh.ranking.fail(new Error('broken'));
  const unranked = await explained({ pageSize: 2 });
  expect(unranked.explanation?.items).toMatchObject([
    { itemId: itemId(0), contributions: {}, utilityRank: 0 },
    { itemId: itemId(1), contributions: {}, utilityRank: 1 },
  ]);
  expect(unranked.explanation?.ranked).toBe(0);
  mesh.ranking.before = () => {};
  mesh.retrieval.fail(new Error('broken'));
  const popular = await explained({ pageSize: 2, candidates: 10, excludedItemIds: ids(97, 3) });
  expect(why(popular, itemId(97))).toBe('EXCLUDED');
  expect(filteredOf(popular).get(itemId(97))?.sources).toMatchObject([{ name: 'popular', rank: 2 }]);
  expect([why(popular, itemId(3)), popular.explanation?.mergedInto]).toEqual([undefined, []]);
  mesh.retrieval.before = () => {};
  mesh.encoder.fail(new Error('broken'));
  const withoutPast = await explained({ pageSize: 2, excludedItemIds: ids(98) });
  expect(why(withoutPast, itemId(98))).toBe('EXCLUDED');
  expect([withoutPast.explanation?.mergedInto, withoutPast.explanation?.items[0]?.utilityRank]).toEqual([[], 0]);
  mesh.encoder.before = () => {};
});

test('law: every item is on the page or has one reason, and explaining changes no page', async () => {
  const some = (count: number) => fc.uniqueArray(fc.nat(99), { maxLength: count });
  const window = fc.record({
    attribute: fc.constantFrom('topic', 'price'),
    window: fc.integer({ min: 1, max: 6 }),
    maximum: fc.integer({ min: 1, max: 2 }),
  });
  const ask = fc.record({
    seen: some(20),
    excluded: some(20),
    externals: some(5),
    broken: some(5),
    filters: fc.uniqueArray(fc.constantFrom('sea', 'wood', 'town'), { maxLength: 2 }),
    windows: fc.array(window, { maxLength: 2 }),
    pageSize: fc.integer({ min: 1, max: 30 }),
    unranked: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(ask, async ({ seen, excluded, externals, broken, filters, windows, pageSize, unranked }) => {
      mesh.encoder.seen = ids(...seen);
      mesh.ranking.broken = broken;
      if (unranked) mesh.ranking.fail(new Error('broken'));
      else mesh.ranking.before = () => {};
      const request = {
        pageSize,
        excludedItemIds: ids(...excluded),
        externalCandidates: [...ids(...externals), 'stranger'].map((id) => ({ itemId: id })),
        filters: filters.map((topic) => not(topic)),
        diversity: { windows },
      };
      const plain = await home(request);
      const page = await explained(request);
      expect(page.items).toEqual(plain.items);
      expect(page.degraded).toEqual(plain.degraded);
      const filtered = filteredOf(page);
      const accounted = [...idsOf(page), ...filtered.keys()].sort();
      expect(accounted).toEqual([...ITEMS.map((item) => item.id), 'stranger'].sort());
      for (const { utility, sources } of filtered.values()) {
        expect(Number.isFinite(utility)).toBe(true);
        expect(sources.length).toBeGreaterThan(0);
      }
      const order = page.explanation!.items.map((item) => item.utilityRank);
      expect(new Set(order).size).toBe(page.items.length);
    }),
    { seed: 29, numRuns: 40 },
  );
  mesh.ranking.before = () => {};
});

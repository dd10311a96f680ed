import {
  createClient,
  EmbeddingType,
  type RunningRole,
  retrieval,
  unpackFloat32,
  unpackUint32,
} from '@onepass/contracts';
import { decodeEmbeddings, dotF16, encodeEmbeddings } from '@onepass/embeddings';
import { OnepassError } from '@onepass/errors';
import {
  type ItemMetadata,
  type Items,
  loadRelease,
  openItems,
  openMetadata,
  openPopular,
  type Release,
} from '@onepass/release';
import { SMOKE_RELEASE } from '@onepass/testing';
import { mixedQueries } from '@onepass/vectors';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { retrievalProgram } from './start.js';

let server: RunningRole;
let client: ReturnType<typeof createClient<typeof retrieval.RetrievalService>>;
let release: Release;
let items: Items;
let metadata: ItemMetadata;
let queries: Float32Array;

beforeAll(async () => {
  release = await loadRelease(SMOKE_RELEASE);
  items = await openItems(release);
  metadata = await openMetadata(release);
  queries = mixedQueries(items, 8);
  server = await retrievalProgram.start({
    ONEPASS_RELEASE_DIR: SMOKE_RELEASE,
    ONEPASS_PORT: '0',
    ONEPASS_LOG_LEVEL: 'silent',
  });
  client = createClient(retrieval.RetrievalService, server.address);
});
afterAll(async () => {
  client.close();
  await server.stop();
});

const embeddings = (...indices: number[]) => {
  const { dimension } = items;
  const rows = indices.flatMap((q) => [...queries.subarray(q * dimension, (q + 1) * dimension)]);
  return encodeEmbeddings(Float32Array.from(rows), dimension, EmbeddingType.F32);
};
const budgets = (...shares: number[]) => shares.map((share) => ({ outcome: 'any', share }));
const request = () => ({ releaseId: release.id, queries: embeddings(0, 3), budgets: budgets(0.25, 0.75), limit: 40 });
const category = (...values: string[]) => ({
  attribute: 'category',
  condition: { case: 'anyOf' as const, value: { values } },
});
const rowsOf = (ids: readonly string[]) => ids.map((id) => items.rowOf(id)!);

/** The answer with its columns as arrays and the items' ids. */
async function search(ask: Parameters<typeof client.search>[0]) {
  const answer = await client.search(ask);
  const { itemRows, innerProducts, queryRows, queryRanks, embeddings, attributes } = answer.candidates!;
  const column = (bytes: Uint8Array) => [...unpackUint32(bytes, 'column')];
  const itemIds = column(itemRows).map((row) => items.ids[row]!);
  const numbers = {
    scores: [...unpackFloat32(innerProducts, 'scores')],
    queryIndices: column(queryRows),
    ranks: column(queryRanks),
  };
  return { ...answer, candidates: { itemIds, ...numbers, embeddings, attributes } };
}

async function refusal(call: Promise<unknown>): Promise<OnepassError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof OnepassError ? error : expect.fail(`not refused: ${String(error)}`);
}

describe('Search', () => {
  test('answers by budget, with f16 embeddings, true scores, queries, ranks and attributes', async () => {
    const answer = await search({ ...request(), attributes: ['category', 'color', 'price'] });
    const found = answer.candidates;
    expect(answer.releaseId).toBe(release.id);
    expect([answer.coverage!.shardsTotal, answer.coverage!.shardsAnswered]).toEqual([2, 2]);
    expect(answer.stages[0]!.stage).toBe('search');
    expect(new Set(found.itemIds).size).toBe(40);
    expect(found.queryIndices.filter((q) => q === 0).length).toBe(10);
    const { values } = decodeEmbeddings(found.embeddings, 'embeddings', items.dimension);
    for (const [i, id] of found.itemIds.entries()) {
      const row = items.rowOf(id)!;
      expect([...values.subarray(i * items.dimension, (i + 1) * items.dimension)]).toEqual([...items.embedding(row)]);
      const q = [0, 3][found.queryIndices[i]!]!;
      const query = queries.subarray(q * items.dimension, (q + 1) * items.dimension);
      expect(found.scores[i]).toBe(dotF16(query, items.table, row * items.dimension));
      const { category, color, price } = metadata.attributes[row]!;
      const given = found.attributes[i]!.values;
      expect(given.category?.kind).toEqual({ case: 'text', value: category });
      expect(given.price?.kind).toEqual({ case: 'number', value: price });
      expect(given.color?.kind.case === 'texts' && given.color.kind.value.values).toEqual(color);
    }
    for (const q of [0, 1]) {
      const own = found.ranks.filter((_, i) => found.queryIndices[i] === q);
      expect(own).toEqual([...own].sort((a, b) => a - b));
    }
  });

  test('answers neither excluded nor filtered items, down to the last one there is', async () => {
    const category0 = metadata.attributes[0]!.category as string;
    const inCategory = items.ids.filter((_, row) => metadata.attributes[row]!.category === category0);
    const excluded = inCategory.slice(3);
    for (const by of [{ queries: embeddings(1), budgets: budgets(1) }, { popularSurface: 'home' }]) {
      const { candidates } = await search({
        releaseId: release.id,
        ...by,
        limit: 100,
        excludedItemIds: [...excluded, 'an item of another release', excluded[0]!],
        filters: [category(category0)],
      });
      expect([...candidates.itemIds].sort()).toEqual(inCategory.slice(0, 3).sort());
      const none = await search({ releaseId: release.id, ...by, limit: 5, filters: [category('no such')] });
      expect(none.candidates.itemIds).toEqual([]);
      expect(none.candidates.embeddings!.values.length).toBe(0);
    }
  });

  test('answers as many as exist up to the limit, whatever the shares, exclusions and filters', async () => {
    const ask = fc.record({
      shares: fc.array(fc.constantFrom(0, 1e-300, 0.5, 1, 1e308), { minLength: 1, maxLength: 4 }),
      limit: fc.constantFrom(1, 5, 50, 200, 400, 2000),
      excluded: fc.nat(400),
      filter: fc.constantFrom(undefined, 'ceramics', 'garden', 'none of them'),
    });
    await fc.assert(
      fc.asyncProperty(ask, async ({ shares, limit, excluded, filter }) => {
        fc.pre(shares.some((share) => share > 0));
        const { candidates } = await search({
          releaseId: release.id,
          queries: embeddings(...shares.keys()),
          budgets: budgets(...shares),
          limit,
          excludedItemIds: items.ids.slice(0, excluded),
          filters: filter === undefined ? [] : [category(filter)],
        });
        const admitted = (row: number) =>
          row >= excluded && (filter === undefined || metadata.attributes[row]!.category === filter);
        expect(rowsOf(candidates.itemIds).every(admitted)).toBe(true);
        const distinct = new Set(candidates.itemIds).size;
        expect(distinct).toBe(candidates.itemIds.length);
        expect(distinct).toBe(Math.min(limit, items.ids.filter((_, row) => admitted(row)).length));
      }),
      { seed: 17, numRuns: 150 },
    );
  });

  test('merges near-equal queries and says so, and gives nothing to a share of zero', async () => {
    const same = await search({ ...request(), queries: embeddings(2, 2, 5), budgets: budgets(0.2, 0.2, 0.6) });
    const brought = (q: number) => same.candidates.queryIndices.filter((index) => index === q).length;
    expect([brought(0), brought(1), brought(2)]).toEqual([16, 0, 24]);
    expect(same.mergedInto).toEqual([0, 0, 2]);
    const zero = await search({ ...request(), budgets: budgets(0, 1) });
    expect(new Set(zero.candidates.queryIndices)).toEqual(new Set([1]));
    expect([zero.mergedInto, zero.keptOut]).toEqual([[0, 1], []]);
  });

  test('answers the same candidates for budgets in any order, in parts or whole, up to 32 of them', async () => {
    const budget = fc.record({ query: fc.nat(7), share: fc.constantFrom(1e-9, 0.1, 0.3, 0.5, 1) });
    const asked = fc
      .array(budget, { minLength: 1, maxLength: 31 })
      .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })));
    const found = async (list: readonly { readonly query: number; readonly share: number }[], limit: number) => {
      const of = embeddings(...list.map(({ query }) => query));
      const by = { queries: of, budgets: budgets(...list.map(({ share }) => share)) };
      return (await search({ releaseId: release.id, ...by, limit })).candidates.itemIds;
    };
    await fc.assert(
      fc.asyncProperty(asked, fc.constantFrom(1, 20, 200), async ([list, shuffled], limit) => {
        const whole = await found(list, limit);
        expect(await found(shuffled, limit)).toEqual(whole);
        const [first, ...others] = list;
        const half = { ...first!, share: first!.share / 2 };
        expect(await found([half, ...others, half], limit)).toEqual(whole);
      }),
      { seed: 23, numRuns: 40 },
    );
  });

  test('explains what was kept out: what would have come had nothing been refused, and why it did not', async () => {
    const by = [request(), { releaseId: release.id, popularSurface: 'home', limit: 40 }];
    for (const ask of by) {
      const free = (await search(ask)).candidates;
      const category = metadata.attributes[items.rowOf(free.itemIds[1]!)!]!.category as string;
      const excluded = [free.itemIds[0]!, free.itemIds[1]!, items.ids.find((id) => !free.itemIds.includes(id))!];
      const filters = [
        { attribute: 'price', condition: { case: 'range' as const, value: { minimum: 0 } } },
        { attribute: 'category', condition: { case: 'noneOf' as const, value: { values: [category] } } },
      ];
      const refusing = { ...ask, excludedItemIds: excluded, filters };
      const plain = await search(refusing);
      const explained = await search({ ...refusing, explain: true });
      expect(explained.candidates).toEqual(plain.candidates);
      expect(plain.keptOut).toEqual([]);
      const filtered = (id: string) => metadata.attributes[items.rowOf(id)!]!.category === category;
      const expected = free.itemIds.flatMap((itemId, i) => {
        if (!excluded.includes(itemId) && !filtered(itemId)) return [];
        const place = { score: free.scores[i], queryIndex: free.queryIndices[i], rank: free.ranks[i] };
        return [{ itemId, ...place, ...(!excluded.includes(itemId) && { filterIndex: 1 }) }];
      });
      expect(expected.length).toBeGreaterThan(2);
      const kept = explained.keptOut.map(({ $typeName: _, ...fields }) => fields);
      expect(kept).toEqual(expected);
      expect((await search({ ...ask, explain: true })).keptOut).toEqual([]);
    }
  });

  test('takes queries in every embedding type', async () => {
    const exact = await search(request());
    for (const type of [EmbeddingType.F16, EmbeddingType.I8] as const) {
      const { values } = decodeEmbeddings(embeddings(0, 3), 'queries', items.dimension);
      const answer = await search({ ...request(), queries: encodeEmbeddings(values, items.dimension, type) });
      const shared = answer.candidates.itemIds.filter((id) => exact.candidates.itemIds.includes(id));
      expect(shared.length).toBeGreaterThan(30);
    }
  });

  test('answers the popular list in order, and goes on behind it', async () => {
    const list = (await openPopular(release, items)).get('related')!;
    const { candidates } = await search({ releaseId: release.id, popularSurface: 'related', limit: 90 });
    expect(rowsOf(candidates.itemIds)).toEqual([...list.subarray(0, 90)]);
    expect(candidates.scores).toEqual([...candidates.scores].sort((a, b) => b - a));
    const behind = await search({
      releaseId: release.id,
      popularSurface: 'related',
      limit: 50,
      excludedItemIds: [...list].map((row) => items.ids[row]!),
    });
    expect(behind.candidates.itemIds.length).toBe(50);
  });

  test('refuses by field', async () => {
    const nan = embeddings(0, 3);
    new DataView(nan.values.buffer).setFloat32(4, Number.NaN, true);
    const [most, one] = [release.manifest.model.maxCandidates, embeddings(0)];
    const cases: [object, string][] = [
      [{ limit: 0 }, 'limit'],
      [{ limit: most + 1 }, 'limit'],
      [{ queries: nan }, 'queries.values'],
      [{ queries: { ...one, dimension: 8 } }, 'queries.dimension'],
      [{ queries: { ...one, type: EmbeddingType.UNSPECIFIED } }, 'queries.type'],
      [{ queries: undefined }, 'queries'],
      [{ queries: embeddings(...Array.from({ length: 33 }, () => 0)) }, 'queries'],
      [{ budgets: budgets(1) }, 'budgets'],
      [{ budgets: budgets(0, 0) }, 'budgets'],
      [{ budgets: budgets(1, Number.NaN) }, 'budgets[1].share'],
      [{ budgets: budgets(-1, 2) }, 'budgets[0].share'],
      [{ budgets: [{ outcome: 'buy', share: 1 }, ...budgets(1)] }, 'budgets[0].outcome'],
      [{ popularSurface: 'home' }, 'popular_surface'],
      [{ queries: undefined, popularSurface: 'shop' }, 'popular_surface'],
      [{ filters: [{ ...category('a'), attribute: 'shape' }] }, 'filters[0].attribute'],
      [{ filters: [{ attribute: 'price', condition: category('a').condition }] }, 'filters[0].any_of'],
      [{ attributes: ['price', 'shape'] }, 'attributes[1]'],
    ];
    for (const [change, field] of cases) {
      const error = await refusal(client.search({ ...request(), ...change }));
      expect(error.detail).toMatchObject({ kind: 'invalid_argument', violations: [{ field }] });
    }
  });

  test('refuses another release', async () => {
    const error = await refusal(client.search({ ...request(), releaseId: 'r-000000000000' }));
    expect(error.detail).toEqual({ kind: 'release_mismatch', expected: release.id, actual: 'r-000000000000' });
    expect((await refusal(client.getItems({ releaseId: '', itemIds: ['i'] }))).kind).toBe('release_mismatch');
  });
});

describe('GetItems', () => {
  test('answers those found in order, and names the rest', async () => {
    const [a, b] = [items.ids[5]!, items.ids[2]!];
    const filters = [category(metadata.attributes[5]!.category as string)];
    const other = items.ids.find((_, row) => metadata.attributes[row]!.category !== metadata.attributes[5]!.category)!;
    const itemIds = [a, 'nowhere', b, a];
    const answer = await client.getItems({ releaseId: release.id, itemIds, withEmbeddings: true });
    expect(answer.items.map((item) => item.id)).toEqual([a, b, a]);
    expect(answer.items[1]!.title).toBe(metadata.titles[2]);
    expect(answer.items[1]!.attributes.price?.kind.value).toBe(metadata.attributes[2]!.price);
    expect(answer.missingItemIds).toEqual(['nowhere']);
    const { rows, values } = decodeEmbeddings(answer.embeddings, 'embeddings', items.dimension);
    expect(rows).toBe(3);
    expect([...values.subarray(0, items.dimension)]).toEqual([...items.embedding(5)]);
    const filtered = await client.getItems({ releaseId: release.id, itemIds: [a, other], filters });
    expect([filtered.items.map((item) => item.id), filtered.filteredItemIds]).toEqual([[a], [other]]);
    expect(filtered.filterIndices).toEqual([0]);
    expect(filtered.embeddings).toBeUndefined();
  });

  test('refuses by field', async () => {
    const ask = (itemIds: string[]) => refusal(client.getItems({ releaseId: release.id, itemIds }));
    expect((await ask([])).message).toContain('item_ids: must be 1 to 1000');
    expect((await ask(Array.from({ length: 1001 }, () => 'a'))).message).toContain('item_ids: must be 1 to 1000');
    expect((await ask(['a', 'x'.repeat(129)])).message).toContain('item_ids[1]: must be 1 to 128 bytes');
  });
});

test('Describe says what it serves; item writes say that they are not served', async () => {
  const described = await client.describe({});
  expect(described).toMatchObject({
    role: 'retrieval',
    releaseId: release.id,
    surfaces: ['home', 'search', 'related'],
  });
  expect(described.attributes).toEqual(['category', 'color', 'creator', 'price', 'style']);
  expect(described.limits!.candidates).toBe(release.manifest.model.maxCandidates);
  expect(described.measurements['onepass.index.items']).toBe(items.count);
  const error = await refusal(client.upsertItems({ items: [] }));
  expect([error.kind, error.message]).toEqual([
    'unimplemented',
    'live item writes are not served yet: items come with the release',
  ]);
});

test('a release that is not there is one sentence at start', async () => {
  const error = await refusal(retrievalProgram.start({ ONEPASS_RELEASE_DIR: '/nowhere', ONEPASS_PORT: '0' }));
  expect([error.kind, error.message]).toEqual(['startup', 'release /nowhere: manifest.json is missing']);
});

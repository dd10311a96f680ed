import { narrowF16Row } from '@onepass/embeddings';
import { Items } from '@onepass/release';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { buildSegment, shardRows } from './build.js';
import { plainRows, usearchRows } from './exact-search.js';
import { ExactLeaf, type LeafRequest, type LeafShard, PartitionedLeaf } from './leaf.js';
import { mixedQueries } from './probes.js';
import { seededRandom } from './random.js';
import { refusedRows } from './refused.js';
import type { Segment } from './segment.js';
import { bestHits } from './top.js';

const COUNT = 1200;
const DIMENSION = 8;

/** Clustered unit-length rows, with some that are the same. */
function sampleItems(): Items {
  const random = seededRandom(9);
  const values = new Float32Array(COUNT * DIMENSION);
  for (let row = 0; row < COUNT; row++) {
    const vector = Array.from({ length: DIMENSION }, (_, i) => (row % 12 === i ? 2 : 0) + random() - 0.5);
    if (row % 50 === 1) vector.splice(0, DIMENSION, ...values.subarray((row - 1) * DIMENSION, row * DIMENSION));
    const norm = Math.hypot(...vector);
    for (let i = 0; i < DIMENSION; i++) values[row * DIMENSION + i] = vector[i]! / norm;
  }
  // Ids in another order than rows, so that ties are told apart.
  const ids = Array.from({ length: COUNT }, (_, row) => `item-${(row * 7919) % COUNT}`);
  return new Items(ids, narrowF16Row(values, new Uint16Array(values.length)), new Map(ids.map((id, row) => [id, row])));
}

let items: Items;
let segments: Segment[];
beforeAll(() => {
  items = sampleItems();
  segments = shardRows(items.ids, 2).map((rows) => buildSegment(items, rows, 8));
});

/** What a request found, as ids and scores. */
async function found(leaf: LeafShard, request: LeafRequest): Promise<[string, number][][]> {
  const hits = await leaf.search(request);
  return hits.map(({ rows, scores }) => Array.from(rows, (row, i) => [items.ids[row]!, scores[i]!]));
}

const refusal = fc.record({
  /** One in so many rows is admitted by the filter. */
  every: fc.constantFrom(1, 2, 10, 97, 400, 5000),
  excluded: fc.array(fc.nat(COUNT - 1), { maxLength: 700 }),
});

describe('a partitioned leaf', () => {
  const cases = fc.record({ refusal, limit: fc.integer({ min: 1, max: 800 }), from: fc.nat(60) });
  for (const [name, rowSearch] of [
    ['usearch', usearchRows],
    ['plain', plainRows],
  ] as const) {
    test(`answers exactly what is not refused, at any selectivity, as many as there are (${name})`, async () => {
      await fc.assert(
        fc.asyncProperty(cases, fc.constantFrom(1, 3, 8), async ({ refusal, limit, from }, probes) => {
          const segment = segments[0]!;
          const queries = mixedQueries(items, 62).subarray(from * DIMENSION, (from + 2) * DIMENSION);
          const refused = refusedRows(COUNT, refusal.excluded, (row) => row % refusal.every === 0);
          const leaf = new PartitionedLeaf(segment, items, { probes, rowSearch });
          const exact = await found(new ExactLeaf(segment.tableRows, items), { queries, limit, refused });
          const answer = await found(leaf, { queries, limit, refused });
          for (const [q, hits] of answer.entries()) {
            expect(hits.length).toBe(exact[q]!.length);
            const trueScores = new Map(exact[q]);
            const admitted = (id: string) => refused?.marks[items.rowOf(id)!] !== 1;
            expect(hits.every(([id]) => admitted(id))).toBe(true);
            expect(new Set(hits.map(([id]) => id)).size).toBe(hits.length);
            for (const [id, score] of hits) expect(trueScores.get(id) ?? score).toBe(score);
            // All rows were candidates: then it is the exact answer, order and ties included.
            if (limit + 64 >= segment.tableRows.length) expect(hits).toEqual(exact[q]);
          }
        }),
        { seed: 21, numRuns: name === 'plain' ? 20 : 150 },
      );
    });
  }

  test('finds at least .99 of the exact top 200 when every partition is probed', async () => {
    const queries = mixedQueries(items, 40);
    for (const segment of segments) {
      const leaf = new PartitionedLeaf(segment, items, { probes: 8, rowSearch: usearchRows });
      const exact = await found(new ExactLeaf(segment.tableRows, items), { queries, limit: 200 });
      const answer = await found(leaf, { queries, limit: 200 });
      const hit = answer.map((hits, q) => hits.filter(([id]) => exact[q]!.some(([best]) => best === id)).length);
      expect(hit.reduce((a, b) => a + b, 0) / (200 * hit.length)).toBeGreaterThanOrEqual(0.99);
    }
  });

  test('takes extreme queries: zeros tie by id, infinite scores are first, none is lost', async () => {
    const leaf = new PartitionedLeaf(segments[1]!, items, { probes: 8, rowSearch: usearchRows });
    const total = segments[1]!.tableRows.length;
    const [zero] = await found(leaf, { queries: new Float32Array(DIMENSION), limit: total });
    expect(zero!.map(([id]) => id)).toEqual(zero!.map(([id]) => id).sort());
    const huge = new Float32Array(DIMENSION).fill(3e38);
    const [most] = await found(leaf, { queries: huge, limit: total });
    expect(most!.length).toBe(total);
    const scores = most!.map(([, score]) => score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
  });
});

describe('best hits', () => {
  const score = fc.oneof(fc.float(), fc.constantFrom(0, -0, 1, Number.NaN, Infinity, -Infinity));
  test('are in order of score, NaN last, ties by id', () => {
    const ids = Array.from({ length: 40 }, (_, i) => `i${(i * 17) % 40}`);
    fc.assert(
      fc.property(fc.array(score, { maxLength: 40 }), fc.nat(45), (list, limit) => {
        const scores = Float32Array.from(list);
        const rows = Uint32Array.from(scores.keys());
        const hits = bestHits(rows, scores, { count: list.length, limit, ids });
        const rank = (row: number) => (Number.isNaN(scores[row]!) ? -Infinity : scores[row]!);
        const expected = [...rows].sort(
          (a, b) =>
            Number(Number.isNaN(scores[a]!)) - Number(Number.isNaN(scores[b]!)) ||
            (rank(a) === rank(b) ? 0 : rank(b) - rank(a)) ||
            (ids[a]! < ids[b]! ? -1 : 1),
        );
        expect([...hits.rows]).toEqual(expected.slice(0, limit));
        expect([...hits.scores]).toEqual(expected.slice(0, limit).map((row) => scores[row]));
      }),
      { seed: 4, numRuns: 500 },
    );
  });
});

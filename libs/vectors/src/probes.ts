import type { Items } from '@onepass/release';
import { usearchRows } from './exact-search.js';
import { ExactLeaf, PartitionedLeaf } from './leaf.js';
import { seededRandom } from './random.js';
import type { Segment } from './segment.js';

const DEPTH = 200;
const LEAST_RECALL = 0.99;
const QUERIES = 64;
/** Items mixed into one query: 1 is a related page, several a person of mixed interests. */
const MIXED_ITEMS = 4;

/**
 * The fewest probes (a power of two, or all) whose recall@200 against the exact answer reaches .99 in the mean over queries that
 * are mixes of 1 to 4 of the release's own items.
 */
export function chooseProbes(segments: readonly Segment[], items: Items): number {
  const partitions = Math.max(...segments.map((s) => s.offsets.length - 1));
  const queries = mixedQueries(items, QUERIES);
  for (let probes = 1; probes < partitions; probes *= 2) {
    if (recall(segments, items, { queries, probes, depth: DEPTH }) >= LEAST_RECALL) return probes;
  }
  return partitions;
}

/** Unit-length float32 [count, E], the same for the same items. */
export function mixedQueries(items: Items, count: number): Float32Array {
  const { dimension } = items;
  const random = seededRandom(items.count);
  const queries = new Float32Array(count * dimension);
  for (let q = 0; q < count; q++) {
    const query = queries.subarray(q * dimension, (q + 1) * dimension);
    for (let mixed = 0; mixed <= q % MIXED_ITEMS; mixed++) {
      const weight = 0.5 + random();
      const embedding = items.embedding(Math.floor(random() * items.count));
      for (let i = 0; i < dimension; i++) query[i] = query[i]! + weight * embedding[i]!;
    }
    const norm = Math.hypot(...query) || 1;
    for (let i = 0; i < dimension; i++) query[i] = query[i]! / norm;
  }
  return queries;
}

interface Measured {
  readonly queries: Float32Array;
  readonly probes: number;
  readonly depth: number;
}

/** Share of the exact top `depth` that the leaves find, in the mean over queries and shards. */
export function recall(segments: readonly Segment[], items: Items, { queries, probes, depth }: Measured): number {
  let found = 0;
  let sought = 0;
  for (const segment of segments) {
    const leaf = new PartitionedLeaf(segment, items, { probes, rowSearch: usearchRows });
    const exact = new ExactLeaf(segment.tableRows, items).search({ queries, limit: depth });
    for (const [q, hits] of leaf.search({ queries, limit: depth }).entries()) {
      const best = new Set(exact[q]!.rows);
      sought += best.size;
      for (const row of hits.rows) if (best.has(row)) found++;
    }
  }
  return found / sought;
}

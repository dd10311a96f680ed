import { blend, groupQueries } from '@onepass/vectors';
import type { QueriesAsk, SearchAsk } from './search-ask.js';
import type { ServedIndex } from './served-index.js';

/** Columns of the answer, in retrieval order. */
export interface Found {
  readonly rows: Uint32Array;
  readonly scores: Float32Array;
  /** Row of the request's queries that brought it; 0 for a popular list. */
  readonly queries: Uint32Array;
  readonly ranks: Uint32Array;
  readonly shardsAnswered: number;
}

/** Kept back of the caller's time for merging and answering. */
const ANSWER_MS = 2;

/** @throws OnepassError `unavailable` when no shard answers */
export async function search(
  ask: SearchAsk,
  index: ServedIndex,
  call: { readonly signal: AbortSignal; remainingMs(): number },
): Promise<Found> {
  if ('popular' in ask.by) return searchPopular(ask.by.popular, ask, index);
  const { queries, groups } = groupedQueries(ask.by, index);
  const { limit, refused } = ask;
  const request = { queries, limit, refused, signal: call.signal };
  const { hits, shardsAnswered } = await index.root.search(request, call.remainingMs() - ANSWER_MS);
  const blended = blend(
    hits,
    groups.map((group) => group.share),
    limit,
  );
  return { ...blended, queries: blended.lists.map((list) => groups[list]!.query), shardsAnswered };
}

/** The embeddings that are searched with: one for each group of near-equal queries. */
function groupedQueries({ queries, shares }: QueriesAsk, { items: { dimension }, common }: ServedIndex) {
  const { groups, mergedInto } = groupQueries(queries, shares, common);
  const grouped = new Float32Array(groups.length * dimension);
  for (const [i, { query }] of groups.entries()) {
    grouped.set(queries.subarray(query * dimension, (query + 1) * dimension), i * dimension);
  }
  return { queries: grouped, groups, mergedInto };
}

/** Scores fall with the rank, as 1 / (rank + 1): they say the order and nothing else. */
function searchPopular(order: Uint32Array, { limit, refused }: SearchAsk, { shards }: ServedIndex): Found {
  const rows = new Uint32Array(Math.min(limit, order.length));
  let found = 0;
  for (let i = 0; i < order.length && found < rows.length; i++) {
    if (refused?.marks[order[i]!] !== 1) rows[found++] = order[i]!;
  }
  const ranks = Uint32Array.from({ length: found }, (_, rank) => rank);
  return {
    rows: rows.subarray(0, found),
    scores: Float32Array.from(ranks, (rank) => 1 / (rank + 1)),
    queries: new Uint32Array(found),
    ranks,
    shardsAnswered: shards,
  };
}

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
  const shares = groups.map((group) => group.share);
  const upTo = async (depth: number) => {
    const request = { queries, limit: depth, refused, signal: call.signal };
    const answer = await index.root.search(request, call.remainingMs() - ANSWER_MS);
    const blended = blend(answer.hits, shares, limit);
    const short = blended.drained.some((list) => answer.hits[list]!.rows.length === depth);
    return { answer, blended, short: short && depth < limit };
  };
  let { answer, blended, short } = await upTo(firstDepth(limit, shares));
  if (short) ({ answer, blended } = await upTo(limit));
  return {
    ...blended,
    queries: blended.lists.map((list) => groups[list]!.query),
    shardsAnswered: answer.shardsAnswered,
  };
}

/**
 * How deep each query is searched at first: what the largest share buys and a quarter more, for items that several queries find. A
 * query that is drained at this depth is searched to the full limit; one that is not would bring the same places if it were.
 */
function firstDepth(limit: number, shares: readonly number[]): number {
  const sum = shares.reduce((a, b) => a + b, 0);
  return Math.min(limit, Math.ceil((1.25 * limit * Math.max(...shares)) / sum) + 16);
}

/** The embeddings that are searched with: one for each group of near-equal queries. */
function groupedQueries({ queries, shares }: QueriesAsk, { items: { dimension }, common }: ServedIndex) {
  const groups = groupQueries(queries, shares, common);
  const grouped = new Float32Array(groups.length * dimension);
  for (const [i, { query }] of groups.entries()) {
    grouped.set(queries.subarray(query * dimension, (query + 1) * dimension), i * dimension);
  }
  return { queries: grouped, groups };
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

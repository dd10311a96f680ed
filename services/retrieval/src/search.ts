import { OnepassError } from '@onepass/errors';
import type { Span } from '@onepass/telemetry';
import { blend, groupQueries, type Refused } from '@onepass/vectors';
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

/** A row that would have been found, had nothing been refused. */
export interface KeptOut {
  readonly row: number;
  readonly score: number;
  readonly query: number;
  readonly rank: number;
  /** The first filter that does not hold; undefined = it was excluded. */
  readonly filter: number | undefined;
}

export interface Answer extends Found {
  /** By query: the one it was merged into. Empty for a popular list. */
  readonly mergedInto: readonly number[];
  /** Best first; empty unless asked to explain. */
  readonly keptOut: readonly KeptOut[];
}

type Find = (refused: Refused | undefined) => Promise<Found>;
type Call = { readonly signal: AbortSignal; readonly span: Span; remainingMs(): number };

/** Kept back of the caller's time for merging and answering. */
const ANSWER_MS = 2;

/** @throws OnepassError `unavailable` when no shard answers */
export async function search(ask: SearchAsk, index: ServedIndex, call: Call): Promise<Answer> {
  const { find, mergedInto } = finder(ask, index, call);
  const found = await find(ask.refused);
  return { ...found, mergedInto, keptOut: await keptOut(ask, find) };
}

function finder(ask: SearchAsk, index: ServedIndex, call: Call): { find: Find; mergedInto: readonly number[] } {
  const { by, limit } = ask;
  if ('popular' in by) {
    return { find: async (refused) => searchPopular(by.popular, limit, refused, index), mergedInto: [] };
  }
  const { queries, groups, mergedInto } = groupedQueries(by, index);
  const shares = groups.map((group) => group.share);
  const find: Find = async (refused) => {
    const request = { queries, limit, refused, signal: call.signal, span: call.span };
    const { hits, shardsAnswered } = await index.root.search(request, call.remainingMs() - ANSWER_MS);
    const merge = call.span.child('merge');
    const blended = blend(hits, shares, limit);
    merge.end();
    return { ...blended, queries: blended.lists.map((list) => groups[list]!.query), shardsAnswered };
  };
  return { find, mergedInto };
}

/** The same search with nothing refused says what was: an explanation costs one more, and its failure is not the answer's. */
async function keptOut({ refused, keptOutBy }: SearchAsk, find: Find): Promise<KeptOut[]> {
  if (keptOutBy === undefined || refused === undefined) return [];
  try {
    const { rows, scores, queries, ranks } = await find(undefined);
    return [...rows.entries()].flatMap(([i, row]) =>
      refused.marks[row] === 1
        ? [{ row, score: scores[i]!, query: queries[i]!, rank: ranks[i]!, filter: keptOutBy(row) }]
        : [],
    );
  } catch (thrown) {
    if (OnepassError.from(thrown).kind !== 'unavailable') throw thrown;
    return [];
  }
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
function searchPopular(
  order: Uint32Array,
  limit: number,
  refused: Refused | undefined,
  { shards }: ServedIndex,
): Found {
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

import type { Hits } from './top.js';

/** Queries that point the same way: one search, with the budgets added. */
export interface QueryGroup {
  /** The first of its queries: the one that is searched with and named in the answer. */
  readonly query: number;
  readonly share: number;
}

/** Above this cosine two queries bring the same items. */
const NEAR_EQUAL = 0.98;

/**
 * Groups near-equal queries in order: each joins the first group whose query it is near to. Queries without a share are left out.
 * @param queries float32 [q, E], finite
 * @param shares [q], finite and not negative
 * @param common float32 [E], the direction that the items share (`commonDirection`), left out of the comparison: items lie in a
 *   cone, so any two queries are close along it, and it scores all items alike
 */
export function groupQueries(queries: Float32Array, shares: readonly number[], common: Float32Array): QueryGroup[] {
  const groups: { query: number; share: number }[] = [];
  const directions = shares.map((_, q) => direction(queries, q, common));
  // Relative to the largest, so that no sum of them overflows.
  const largest = Math.max(...shares);
  for (const [query, given] of shares.entries()) {
    if (given === 0) continue;
    // A share that is nothing beside the largest still brings what the others leave.
    const share = Math.max(given / largest, Number.MIN_VALUE);
    const near = groups.find((group) => product(directions[group.query]!, directions[query]!) > NEAR_EQUAL);
    if (near) near.share += share;
    else groups.push({ query, share });
  }
  return groups;
}

/** A query without its part along `common`, at unit length; zeros where nothing else is left. */
function direction(queries: Float32Array, q: number, common: Float32Array): Float64Array {
  // Float64 and a unit first: a query's numbers may be near the end of float32.
  const vector = unit(Float64Array.from(queries.subarray(q * common.length, (q + 1) * common.length)));
  const along = product(vector, common);
  return unit(vector.map((value, i) => value - along * common[i]!));
}

/** The direction of the mean of float32 rows [n, E], unit length; zeros where they have none. */
export function commonDirection(rows: Iterable<Float32Array>, dimension: number): Float32Array {
  const sum = new Float64Array(dimension);
  for (const row of rows) for (let i = 0; i < dimension; i++) sum[i] = sum[i]! + row[i]!;
  return Float32Array.from(unit(sum));
}

function unit(vector: Float64Array): Float64Array {
  const norm = Math.sqrt(product(vector, vector));
  return norm > 1e-9 ? vector.map((value) => value / norm) : vector.fill(0);
}

function product(a: Float64Array | Float32Array, b: Float64Array | Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/**
 * `total` places by share, largest remainder first (ties: the earlier one); no one gets more than it has `available`, what it
 * leaves goes to the others by the same rule. Sums to min(total, all available) as long as any share is above zero.
 */
export function apportion(total: number, shares: readonly number[], available: readonly number[]): number[] {
  const places = shares.map(() => 0);
  let left = total;
  for (;;) {
    const open = [...shares.keys()].filter((i) => shares[i]! > 0 && places[i]! < available[i]!);
    if (left === 0 || open.length === 0) return places;
    const given = largestRemainder(
      left,
      open.map((i) => shares[i]!),
    );
    for (const [at, i] of open.entries()) {
      const taken = Math.min(given[at]!, available[i]! - places[i]!);
      places[i] = places[i]! + taken;
      left -= taken;
    }
  }
}

function largestRemainder(total: number, shares: readonly number[]): number[] {
  const sum = shares.reduce((a, b) => a + b, 0);
  const exact = shares.map((share) => (total * share) / sum);
  const places = exact.map(Math.floor);
  const left = total - places.reduce((a, b) => a + b, 0);
  const byRemainder = [...shares.keys()].sort((a, b) => exact[b]! - places[b]! - (exact[a]! - places[a]!) || a - b);
  for (const i of byRemainder.slice(0, left)) places[i] = places[i]! + 1;
  return places;
}

/** Columns of the merged answer, in retrieval order. */
export interface Blend {
  readonly rows: Uint32Array;
  readonly scores: Float32Array;
  /** Which list brought it. */
  readonly lists: Uint32Array;
  /** Its rank within that list, from 0. */
  readonly ranks: Uint32Array;
}

/**
 * Merges the hits of several queries by budget, never by score: an item in several lists counts once, for the list where its rank is
 * best (ties: the earlier list); each list brings the places its share buys, an unused rest goes to the others. In the order of the
 * answer the lists alternate in proportion, so that every prefix of it keeps the budgets too.
 * @param shares one for each list, above 0: a list without would take items from the others and bring none
 */
export function blend(lists: readonly Hits[], shares: readonly number[], limit: number): Blend {
  const owned = ownedRanks(lists);
  const places = apportion(
    limit,
    shares,
    owned.map((ranks) => ranks.length),
  );
  const total = places.reduce((sum, n) => sum + n, 0);
  const answer = {
    rows: new Uint32Array(total),
    scores: new Float32Array(total),
    lists: new Uint32Array(total),
    ranks: new Uint32Array(total),
  };
  const taken = places.map(() => 0);
  for (let at = 0; at < total; at++) {
    const list = nextList(taken, places);
    const rank = owned[list]![taken[list]!]!;
    taken[list] = taken[list]! + 1;
    answer.rows[at] = lists[list]!.rows[rank]!;
    answer.scores[at] = lists[list]!.scores[rank]!;
    answer.lists[at] = list;
    answer.ranks[at] = rank;
  }
  return answer;
}

/** For each list the ranks of the items that count for it, best first. Rank by rank, so the first list to name an item has its best rank. */
function ownedRanks(lists: readonly Hits[]): number[][] {
  const owned: number[][] = lists.map(() => []);
  const claimed = new Set<number>();
  const depth = Math.max(0, ...lists.map((hits) => hits.rows.length));
  for (let rank = 0; rank < depth; rank++) {
    for (const [list, hits] of lists.entries()) {
      const row = hits.rows[rank];
      if (row === undefined || claimed.has(row)) continue;
      claimed.add(row);
      owned[list]!.push(rank);
    }
  }
  return owned;
}

/** The list that is furthest behind its proportion. */
function nextList(taken: readonly number[], places: readonly number[]): number {
  let next = -1;
  let earliest = Infinity;
  for (let list = 0; list < places.length; list++) {
    if (taken[list]! >= places[list]!) continue;
    const due = (taken[list]! + 0.5) / places[list]!;
    if (due < earliest) [next, earliest] = [list, due];
  }
  return next;
}

import type { Hits } from './top.js';

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
  // To nine digits: remainders that differ by rounding alone are equal.
  const remainders = exact.map((share, i) => Math.round((share - places[i]!) * 1e9));
  const byRemainder = [...shares.keys()].sort((a, b) => remainders[b]! - remainders[a]! || a - b);
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

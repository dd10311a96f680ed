/** Items found for one query, best first: rows of the item table and their scores. */
export interface Hits {
  readonly rows: Uint32Array;
  readonly scores: Float32Array;
}

/** More rows than this cannot be told apart in one packed number. */
export const MOST_ROWS = 2 ** 21;
const bitsOf = new Uint32Array(1);
const floatOf = new Float32Array(bitsOf.buffer);

/**
 * The best `limit` of the first `count` rows by score, ties by item id; a score that is not a number comes last.
 * Sorts packed numbers (float32 score as an ordered integer, then the position), which needs no comparison function and no objects.
 * `count` is at most MOST_ROWS.
 */
export function bestHits(
  rows: Uint32Array,
  scores: Float32Array,
  { count, limit, ids }: { count: number; limit: number; ids: readonly string[] },
): Hits {
  const keys = scratch(count);
  for (let slot = 0; slot < count; slot++) keys[slot] = descending(scores[slot]!) * MOST_ROWS + slot;
  keys.sort();
  const order = new Uint32Array(count);
  // Not `%`: a remainder of floats costs more than the sort.
  for (let rank = 0; rank < count; rank++) order[rank] = keys[rank]! - Math.floor(keys[rank]! / MOST_ROWS) * MOST_ROWS;
  orderTies(order, rows, scores, ids);
  const taken = Math.min(limit, count);
  const best = { rows: new Uint32Array(taken), scores: new Float32Array(taken) };
  for (let rank = 0; rank < taken; rank++) {
    best.rows[rank] = rows[order[rank]!]!;
    best.scores[rank] = scores[order[rank]!]!;
  }
  return best;
}

let kept = new Float64Array(0);

/** Memory that every call uses again: a search makes enough typed arrays for the collector to be seen in a profile. */
function scratch(length: number): Float64Array {
  if (kept.length < length) kept = new Float64Array(2 * length);
  return kept.subarray(0, length);
}

/** An integer that grows as the score falls; NaN has the largest. */
function descending(score: number): number {
  if (Number.isNaN(score)) return 0xffffffff;
  floatOf[0] = score + 0; // -0 becomes 0: they tie.
  const bits = bitsOf[0]!;
  return bits >= 0x80000000 ? bits : 0x7fffffff - bits;
}

function orderTies(order: Uint32Array, rows: Uint32Array, scores: Float32Array, ids: readonly string[]): void {
  for (let start = 0, end = 1; start < order.length; start = end, end++) {
    while (end < order.length && same(scores[order[start]!]!, scores[order[end]!]!)) end++;
    if (end - start > 1) order.subarray(start, end).sort((a, b) => (ids[rows[a]!]! < ids[rows[b]!]! ? -1 : 1));
  }
}

/** Whether hit `i` of `a` comes before hit `j` of `b` in the order of `bestHits`. */
export function isBefore(a: Hits, i: number, b: Hits, j: number, ids: readonly string[]): boolean {
  const left = a.scores[i]!;
  const right = b.scores[j]!;
  if (same(left, right)) return ids[a.rows[i]!]! < ids[b.rows[j]!]!;
  return left > right || Number.isNaN(right);
}

function same(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b));
}

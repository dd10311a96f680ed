/** Queries that point the same way: one search, with the budgets added. */
export interface QueryGroup {
  /** The query of the largest share, equal ones counted together: it is searched with and named in the answer. */
  readonly query: number;
  readonly share: number;
}

export interface QueryGroups {
  /** The largest share first. */
  readonly groups: readonly QueryGroup[];
  /** By query: the one of its group that is searched with; itself where it has no share. */
  readonly mergedInto: readonly number[];
}

/** Above this cosine, measured across the common direction, two queries bring the same items. */
export const NEAR_EQUAL = 0.98;
/** A share that is nothing beside the largest (which is from 1 up to 2) still brings what the others leave. */
const LEAST = 1e-12;

/**
 * Groups near-equal queries: from the largest share down, each joins the first group whose query it is near to. Queries without a
 * share are left out. Nothing depends on the order that the queries come in, nor on whether one comes in parts: equal queries
 * are one before all else, and ties of share are broken by the numbers of the embedding.
 * @param queries float32 [q, E], finite
 * @param shares [q], finite and not negative
 * @param common float32 [E], the direction that the items share (`commonDirection`), left out of the comparison: items lie in a
 *   cone, so any two queries are close along it, and it scores all items alike
 */
export function groupQueries(queries: Float32Array, shares: readonly number[], common: Float32Array): QueryGroups {
  const { length: dimension } = common;
  const embedding = (q: number) => queries.subarray(q * dimension, (q + 1) * dimension);
  const byShare = (a: QueryGroup, b: QueryGroup) =>
    b.share - a.share || compare(embedding(a.query), embedding(b.query)) || a.query - b.query;
  const mergedInto = [...shares.keys()];
  const given = scaled(shares).sort(byShare);
  const distinct = gather(given, mergedInto, (a, b) => compare(embedding(a), embedding(b)) === 0).sort(byShare);
  const directions = new Map(distinct.map(({ query }) => [query, direction(embedding(query), common)]));
  const near = (a: number, b: number) => product(directions.get(a)!, directions.get(b)!) > NEAR_EQUAL;
  const groups = gather(distinct, mergedInto, near).sort(byShare);
  return { groups, mergedInto: mergedInto.map((query) => mergedInto[query]!) };
}

/** Those with a share, scaled by a power of two, so that no sum overflows and every sum rounds as it would unscaled. */
function scaled(shares: readonly number[]): QueryGroup[] {
  const scale = 2 ** Math.min(1023, -Math.floor(Math.log2(Math.max(...shares))));
  return [...shares.entries()].flatMap(([query, share]) => (share === 0 ? [] : [{ query, share: share * scale }]));
}

/** Each joins the first before it that is `like` it, or stands for itself. */
function gather(
  list: readonly QueryGroup[],
  mergedInto: number[],
  like: (a: number, b: number) => boolean,
): QueryGroup[] {
  const groups: { query: number; share: number }[] = [];
  for (const { query, share } of list) {
    const group = groups.find((other) => like(other.query, query));
    mergedInto[query] = group?.query ?? query;
    if (group) group.share += share;
    else groups.push({ query, share });
  }
  // To nine digits: sums that differ by the order of adding alone are equal.
  return groups.map(({ query, share }) => ({ query, share: Math.max(LEAST, Number(share.toPrecision(9))) }));
}

function compare(a: Float32Array, b: Float32Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

/** A query without its part along `common`, at unit length; zeros where nothing else is left. */
function direction(query: Float32Array, common: Float32Array): Float64Array {
  // Float64 and a unit first: a query's numbers may be near the end of float32.
  const vector = unit(Float64Array.from(query));
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

import { exactSearch, MetricKind } from 'usearch';

/**
 * The native edge: offsets of the `count` rows of `rows` (int8 [n, dimension]) with the largest inner product with `query`.
 * `rows` and `query` must begin their buffers: usearch reads from a buffer's start, whatever the view's offset. count <= n.
 */
export type RowSearch = (rows: Int8Array, query: Int8Array, dimension: number, count: number) => Uint32Array;

/**
 * usearch's exact search on the calling thread: .1 to .2 ms for 10,000 rows of 64, so it stays there. One query at a time: each has
 * partitions of its own.
 */
export const usearchRows: RowSearch = (rows, query, dimension, count) => {
  const { keys } = exactSearch(rows, query, dimension, count, MetricKind.IP, 1);
  // The keys are 64 bits wide; their low halves say all, without a BigInt each.
  const words = new Uint32Array(keys.buffer, keys.byteOffset, keys.length * 2);
  const offsets = new Uint32Array(keys.length);
  for (let i = 0; i < offsets.length; i++) offsets[i] = words[2 * i]!;
  return offsets;
};

/** The same in plain JavaScript, for tests. */
export const plainRows: RowSearch = (rows, query, dimension, count) => {
  const products = Float64Array.from({ length: rows.length / dimension }, (_, row) =>
    query.reduce((sum, q, i) => sum + q * rows[row * dimension + i]!, 0),
  );
  const order = Uint32Array.from(products.keys()).sort((a, b) => products[b]! - products[a]! || a - b);
  return order.subarray(0, count);
};

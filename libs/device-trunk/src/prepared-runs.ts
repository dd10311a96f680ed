import { unavailable } from '@onepass/errors';
import { isOutOfMemory, type PreparedRun } from '@onepass/inference';

/**
 * Share of `most` that is captured, where the device captures, in the life of these runs: what is captured is not given back with the run. Those that come
 * later are not, and come and go.
 */
const CAPTURED = 0.75;

/** What prepared runs may take together, over all graphs. */
export interface PreparedLimits {
  readonly most: number;
  readonly bytes: number;
}

interface Kept<S> {
  readonly sizes: S;
  readonly run: PreparedRun;
  /** Runs that are under way or wait. */
  uses: number;
}

/** A prepared run, kept until `done`. */
export interface PreparedUse<S> {
  readonly sizes: S;
  readonly run: PreparedRun;
  done(): void;
}

/**
 * Runs of one or more graphs by the sizes that they are prepared for, made when they are first asked for. Those used longest ago go when there are too
 * many, or too little memory; those that are not captured before those that are.
 */
export class PreparedRuns<S> {
  readonly #prepare: (sizes: S, capture: boolean) => Promise<PreparedRun>;
  readonly #limits: PreparedLimits;
  /** The one used longest ago first. */
  readonly #kept = new Map<string, Kept<S>>();
  readonly #making = new Map<string, Promise<Kept<S>>>();
  #made = 0;
  #captured = 0;
  #dropped = 0;
  #isClosed = false;

  /** @param prepare captured where the device can, or not */
  constructor(prepare: (sizes: S, capture: boolean) => Promise<PreparedRun>, limits: PreparedLimits) {
    this.#prepare = prepare;
    this.#limits = limits;
  }

  get bytes(): number {
    return [...this.#kept.values()].reduce((sum, { run }) => sum + run.bytes, 0);
  }

  get stats(): Readonly<Record<'kept' | 'bytes' | 'made' | 'captured' | 'dropped', number>> {
    const [made, captured, dropped] = [this.#made, this.#captured, this.#dropped];
    return { kept: this.#kept.size, bytes: this.bytes, made, captured, dropped };
  }

  /** Sizes that a run is ready for. */
  *ready(): Generator<S> {
    for (const { sizes } of this.#kept.values()) yield sizes;
  }

  /**
   * @param key of `sizes`
   * @throws OnepassError `startup` when the device has no memory for it, though all that nobody uses was given back
   */
  async use(key: string, sizes: S): Promise<PreparedUse<S>> {
    for (;;) {
      if (this.#isClosed) throw unavailable('the trunk is closing');
      const kept = this.#kept.get(key);
      if (kept !== undefined) return this.#used(key, kept);
      const making = this.#making.get(key) ?? this.#make(key, sizes);
      await making;
    }
  }

  /** Only when no run is under way; waits for those that are being prepared. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#making.values());
    for (const { run } of this.#kept.values()) run.close();
    this.#kept.clear();
  }

  #used(key: string, kept: Kept<S>): PreparedUse<S> {
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    kept.uses++;
    let done = false;
    return {
      sizes: kept.sizes,
      run: kept.run,
      done: () => {
        if (!done) kept.uses--;
        done = true;
      },
    };
  }

  #make(key: string, sizes: S): Promise<Kept<S>> {
    const making = this.#prepareWithRoom(sizes)
      .then((run) => {
        const kept = { sizes, run, uses: 0 };
        this.#made++;
        if (run.isCaptured) this.#captured++;
        this.#kept.set(key, kept);
        this.#shrink(key);
        return kept;
      })
      .finally(() => this.#making.delete(key));
    this.#making.set(key, making);
    return making;
  }

  async #prepareWithRoom(sizes: S): Promise<PreparedRun> {
    for (;;) {
      try {
        return await this.#prepare(sizes, this.#captured < CAPTURED * this.#limits.most);
      } catch (error) {
        // Of what fails for another reason, room would change nothing.
        if (!isOutOfMemory(error) || !this.#drop()) throw error;
      }
    }
  }

  #shrink(except: string): void {
    while (this.#kept.size > this.#limits.most || this.bytes > this.#limits.bytes) if (!this.#drop(except)) return;
  }

  /** @returns false: all are in use */
  #drop(except?: string): boolean {
    const unused = [...this.#kept].filter(([key, { uses }]) => uses === 0 && key !== except);
    const [key, kept] = unused.find(([, { run }]) => !run.isCaptured) ?? unused[0] ?? [];
    if (key === undefined || kept === undefined) return false;
    this.#kept.delete(key);
    kept.run.close();
    this.#dropped++;
    return true;
  }
}

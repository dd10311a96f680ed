import { OnepassError } from '@onepass/errors';
import type { KvTensors, SlotContent } from '@onepass/kv';
import type { Logger } from '@onepass/telemetry';
import type { Codec } from './codec.js';
import { type EntryIdentity, HEADER_BYTES, newEntry, sealEntry } from './entry.js';
import type { WarmStore } from './store.js';

/** A slot's KV that stays as it is until `end`. */
export interface Lease {
  readonly content: SlotContent;
  /** Effective time of the last token, epoch ms. */
  readonly lastMs: number;
  readonly tensors: KvTensors;
  end(): void;
}

/** Why something that was offered was not written. */
export const DROPS = [
  /** More persons were offered than may wait. */
  'queue_full',
  /** The slot was gone by the time it was asked for. */
  'no_slot',
  /** So short that nobody would restore it. */
  'short',
  /** A number is not finite, or not in the codec's range. */
  'not_finite',
  /** The graph runs had no turn in time, or failed. */
  'encode_failed',
  'store_full',
  'store_failed',
  'forgotten',
  'closed',
] as const;
export type Drop = (typeof DROPS)[number];

export interface WriteBehindTerms {
  /** How long a person must be left alone before they are written. */
  readonly quietMs: number;
  /** Persons that may wait. */
  readonly maxWaiting: number;
  readonly bytesPerSecond: number;
}

export interface WriteBehindParts {
  readonly codec: Codec;
  readonly store: WarmStore;
  readonly identity: (person: string) => EntryIdentity;
  /** Undefined = there is nothing to write. */
  readonly lease: (person: string) => Lease | undefined;
  /** Fewest tokens that are worth it. */
  readonly leastTokens: () => number;
  readonly logger: Logger;
  readonly terms: WriteBehindTerms;
}

/** A slot is not kept from the others for longer. */
const ENCODE_MS = 5_000;

/** One that is being written. */
interface Current {
  readonly person: string;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/**
 * Writes persons' KV some time after they were offered: one at a time, so never more than one entry is held, at a bounded rate, its graph
 * runs behind all others.
 */
export class WriteBehind {
  readonly #parts: WriteBehindParts;
  /** When each may be written; the one that waited longest is first. */
  readonly #waiting = new Map<string, number>();
  readonly #forgetting = new Map<string, number>();
  #current: Current | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** For the rate: not before this. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #state: 'open' | 'flushing' | 'closed' = 'open';
  readonly counts = {
    writes: 0,
    writtenBytes: 0,
    dropped: Object.fromEntries(DROPS.map((drop) => [drop, 0])) as Record<Drop, number>,
  };

  constructor(parts: WriteBehindParts) {
    this.#parts = parts;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  offer(person: string): void {
    if (this.#state !== 'open' || this.#forgetting.has(person)) {
      this.#drop(this.#state === 'open' ? 'forgotten' : 'closed');
      return;
    }
    this.#waiting.delete(person);
    this.#waiting.set(person, performance.now() + this.#parts.terms.quietMs);
    if (this.#waiting.size > this.#parts.terms.maxWaiting) {
      for (const oldest of this.#waiting.keys()) {
        this.#waiting.delete(oldest);
        break;
      }
      this.#drop('queue_full');
    }
    this.#arm();
  }

  /** Whether `forget` is under way for the person. */
  isForgetting(person: string): boolean {
    return this.#forgetting.has(person);
  }

  /** Runs `remove` when nothing of the person waits or is being written; what is offered until it is done is dropped. */
  async forget(person: string, remove: () => Promise<void>): Promise<void> {
    this.#forgetting.set(person, (this.#forgetting.get(person) ?? 0) + 1);
    try {
      if (this.#waiting.delete(person)) this.#drop('forgotten');
      if (this.#current?.person === person) {
        this.#current.stop.abort('forgotten');
        await this.#current.done;
      }
      await remove();
    } finally {
      const others = this.#forgetting.get(person)! - 1;
      if (others > 0) this.#forgetting.set(person, others);
      else this.#forgetting.delete(person);
    }
  }

  /** Writes at once what waits, as far as `ms` reach, then nothing any more. */
  async close(ms: number): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'flushing';
    clearTimeout(this.#timer);
    const late = setTimeout(() => {
      this.#state = 'closed';
      this.#current?.stop.abort('closed');
    }, ms);
    while (this.#current !== undefined) await this.#current.done;
    for (const person of this.#waiting.keys()) {
      if (this.#isClosed) break;
      this.#waiting.delete(person);
      await this.#begin(person);
    }
    clearTimeout(late);
    this.#state = 'closed';
    for (const _ of this.#waiting) this.#drop('closed');
    this.#waiting.clear();
  }

  get #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #arm(): void {
    if (this.#state !== 'open' || this.#timer !== undefined || this.#current !== undefined) return;
    for (const due of this.#waiting.values()) {
      const now = performance.now();
      const at = Math.max(due, this.#notBefore, now + this.#parts.store.restMs);
      this.#timer = setTimeout(() => this.#wake(), Math.ceil(at - now)).unref();
      return;
    }
  }

  #wake(): void {
    this.#timer = undefined;
    for (const [person, due] of this.#waiting) {
      if (due <= performance.now() && this.#parts.store.restMs === 0) {
        this.#waiting.delete(person);
        void this.#begin(person);
      }
      break;
    }
    this.#arm();
  }

  #begin(person: string): Promise<void> {
    const stop = new AbortController();
    const began = performance.now();
    const done = this.#write(person, stop.signal).then((outcome) => {
      if (typeof outcome === 'string') this.#drop(outcome);
      else {
        const { bytesPerSecond } = this.#parts.terms;
        this.#notBefore = Math.max(began, this.#notBefore) + (1_000 * outcome.bytes) / bytesPerSecond;
        this.counts.writes++;
        this.counts.writtenBytes += outcome.bytes;
      }
      this.#current = undefined;
      this.#arm();
    });
    this.#current = { person, stop, done };
    return done;
  }

  async #write(person: string, stop: AbortSignal): Promise<Drop | { bytes: number }> {
    const { store, logger } = this.#parts;
    try {
      const entry = await this.#encode(person, stop);
      if (typeof entry === 'string') return entry;
      if (stop.aborted) return stop.reason;
      return (await store.write(person, entry)) === 'full' ? 'store_full' : { bytes: entry.length };
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      logger.warn({ err: error.cause ?? error }, error.message);
      return 'store_failed';
    }
  }

  /** The lease ends when the numbers are packed, whatever becomes of them. */
  async #encode(person: string, stop: AbortSignal): Promise<Buffer | Drop> {
    const { codec, lease: leaseOf, identity, leastTokens } = this.#parts;
    const lease = leaseOf(person);
    if (lease === undefined) return 'no_slot';
    const { content, lastMs, tensors } = lease;
    let entry: Buffer;
    try {
      if (content.length < Math.max(1, leastTokens())) return 'short';
      entry = newEntry(codec.payloadBytes(content.length));
      const signal = AbortSignal.any([stop, AbortSignal.timeout(ENCODE_MS)]);
      const terms = { signal, priority: 'batch' } as const;
      if (!(await codec.encode(tensors, content.length, entry.subarray(HEADER_BYTES), terms))) return 'not_finite';
    } catch {
      return stop.aborted ? stop.reason : 'encode_failed';
    } finally {
      lease.end();
    }
    await sealEntry(entry, identity(person), { content, lastMs, writtenMs: Date.now() });
    return entry;
  }

  #drop(why: Drop): void {
    this.counts.dropped[why]++;
  }
}

import { OnepassError } from '@onepass/errors';
import type { RunTerms } from '@onepass/inference';
import type { KvShape, KvTensors } from '@onepass/kv';
import type { Logger } from '@onepass/telemetry';
import { type Calibration, type CalibrationAsk, measureTier } from './calibrate.js';
import type { Codec } from './codec.js';
import { type EntryIdentity, HEADER_BYTES, openEntry, REFUSALS, type Refusal } from './entry.js';
import type { WarmStore } from './store.js';
import type { WarmEntry } from './warm-entry.js';
import { type Drop, type Lease, WriteBehind, type WriteBehindTerms } from './write-behind.js';

export interface WarmTierParts {
  readonly codec: Codec;
  readonly store: WarmStore;
  readonly releaseId: string;
  readonly shape: KvShape;
  /** The person's slot as it is to be written, kept from change until the lease ends; undefined = there is none. Must not throw. */
  readonly lease: (person: string) => Lease | undefined;
  readonly logger: Logger;
  readonly maxAgeMs: number;
  readonly writing: WriteBehindTerms;
  /** Epoch ms. */
  readonly now?: () => number;
}

/** What became of a question for a person's entry. */
export const FINDS = [
  'hit',
  'absent',
  /** It is shorter than what is worth restoring. */
  'short',
  /** The tier is not worth it for any length: the store was not asked. */
  'unused',
  /** The store did not answer, or rests because it did not. */
  'unavailable',
  'expired',
  ...REFUSALS,
] as const;
export type Find = (typeof FINDS)[number];

export interface WarmTierStats {
  readonly entries: number;
  readonly bytes: number;
  /** Persons that wait to be written. */
  readonly waiting: number;
  readonly writes: number;
  readonly writtenBytes: number;
  readonly dropped: Readonly<Record<Drop, number>>;
  readonly finds: Readonly<Record<Find, number>>;
}

/** KV below the slots: entries of one release in one store. What is wrong with an entry, or with the store, is a miss and a count. */
export class WarmTier {
  readonly #parts: WarmTierParts;
  readonly #writing: WriteBehind;
  readonly #finds = Object.fromEntries(FINDS.map((find) => [find, 0])) as Record<Find, number>;
  readonly #background = new Set<Promise<void>>();
  #usedFrom: number | undefined = 0;

  constructor(parts: WarmTierParts) {
    this.#parts = parts;
    this.#writing = new WriteBehind({
      ...parts,
      terms: parts.writing,
      identity: (person) => this.#identity(person),
      leastTokens: () => this.#usedFrom ?? Number.POSITIVE_INFINITY,
    });
  }

  /** Fewest tokens that are worth restoring; undefined = it is worth it for no length. 0 before anything was measured. */
  get usedFrom(): number | undefined {
    return this.#usedFrom;
  }

  get exact(): boolean {
    return this.#parts.codec.exact;
  }

  /**
   * The person's entry, when there is one that may be used. One that may not is removed.
   * @param person 32 hex digits
   * @throws the signal's reason
   */
  async find(person: string, signal?: AbortSignal): Promise<WarmEntry | undefined> {
    signal?.throwIfAborted();
    const found =
      this.#usedFrom === undefined ? 'unused' : await unlessAborted(this.#read(person, this.#usedFrom), signal);
    this.#finds[typeof found === 'string' ? found : 'hit']++;
    return typeof found === 'string' ? undefined : found;
  }

  /** The person's slot has changed: it is written once they are left alone. Costs the caller nothing. */
  offer(person: string): void {
    this.#writing.offer(person);
  }

  /**
   * Resolves when no byte of the person is left in the store, of any release; what was offered before, or is while this goes on, is not
   * written. The lease of a write under way has ended by then.
   * @throws OnepassError `unavailable` when something may be left
   */
  forget(person: string): Promise<void> {
    return this.#writing.forget(person, () => this.#parts.store.forget(person));
  }

  /**
   * Measures from how many tokens on restoring is worth it here, and uses the tier from there on. For a start, when nothing else goes on.
   */
  async calibrate(ask: CalibrationAsk): Promise<Calibration> {
    const { codec, store, shape } = this.#parts;
    const find = async (person: string) => {
      const found = await this.#read(person, 0);
      return typeof found === 'string' ? undefined : found;
    };
    const calibration = await measureTier({ codec, store, shape, find, identity: (p) => this.#identity(p) }, ask);
    this.#usedFrom = calibration.usedFrom;
    return calibration;
  }

  stats(): WarmTierStats {
    const { writes, writtenBytes, dropped } = this.#writing.counts;
    const { entries, bytes } = this.#parts.store.usage();
    const finds = { ...this.#finds };
    return { entries, bytes, waiting: this.#writing.waiting, writes, writtenBytes, dropped: { ...dropped }, finds };
  }

  /** Writes what waits, for at most so long, then ends. Slots and engine must last until then. */
  async close({ flushMs }: { readonly flushMs: number }): Promise<void> {
    await this.#writing.close(flushMs);
    await Promise.allSettled(this.#background);
    await this.#parts.store.close();
  }

  async #read(person: string, usedFrom: number): Promise<WarmEntry | Exclude<Find, 'hit'>> {
    const { codec, store, maxAgeMs, now = Date.now, logger } = this.#parts;
    if (this.#writing.isForgetting(person)) return 'absent';
    let entry: Buffer | undefined;
    try {
      entry = await store.read(person);
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      logger.warn({ err: error.cause ?? error }, error.message);
      return 'unavailable';
    }
    if (entry === undefined) return 'absent';
    const whole = aligned(entry);
    const told = await openEntry(whole, this.#identity(person), (tokens) => codec.payloadBytes(tokens));
    // The age of one that comes from the future, by a clock that was set back, is not known: its identity is what counts.
    const refused: Refusal | 'expired' | undefined =
      typeof told === 'string' ? told : now() - told.writtenMs > maxAgeMs ? 'expired' : undefined;
    if (refused !== undefined) {
      this.#remove(person);
      return refused;
    }
    const { content, lastMs } = told as Exclude<typeof told, string>;
    if (content.length < usedFrom) return 'short';
    const restore = (into: KvTensors, terms: RunTerms) =>
      codec.decode(whole.subarray(HEADER_BYTES), content.length, into, terms);
    return { content, lastMs, exact: codec.exact, restore };
  }

  /** Nobody waits for it; if it fails, the next one who finds it removes it. */
  #remove(person: string): void {
    const removed: Promise<void> = this.#parts.store.drop(person).catch(() => {});
    this.#background.add(removed);
    void removed.then(() => this.#background.delete(removed));
  }

  #identity(person: string): EntryIdentity {
    const { codec, releaseId, shape } = this.#parts;
    return { codec: codec.name, releaseId, shape, person };
  }
}

/** A store that hangs is left to itself. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Graphs want numbers where their type may lie; what comes from a socket lies anywhere. */
function aligned(entry: Buffer): Buffer {
  if (entry.byteOffset % Float64Array.BYTES_PER_ELEMENT === 0) return entry;
  const copy = Buffer.allocUnsafeSlow(entry.length);
  entry.copy(copy);
  return copy;
}

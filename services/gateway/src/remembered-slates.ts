import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { RecommendResponseSchema } from '@onepass/contracts';
import { invalidArgument } from '@onepass/errors';

/** How long a repeated request id is answered with its first slate. */
const LIFETIME_MS = 10 * 60_000;
/** A default page takes 1.5 to 3 KB, so this is some 20,000 slates. */
const CAPACITY_BYTES = 64 * 1024 * 1024;

interface Entry {
  /** Says the request wholly. */
  readonly digest: string;
  readonly expiresMs: number;
  /** Settles, never rejects, when `bytes` are there or the entry is gone. */
  settled: Promise<unknown>;
  bytes?: Uint8Array;
}

/** Slates by request id, so that a retry is answered with the same one; the least recently made go first. */
export class RememberedSlates {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;
  readonly #capacityBytes: number;
  #bytes = 0;

  constructor(now: () => number = () => performance.now(), capacityBytes = CAPACITY_BYTES) {
    this.#now = now;
    this.#capacityBytes = capacityBytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Bytes of what `make` answers, or of what it answered for this key before. A repeat while the first is still being made waits for it
   * and, should that fail, makes its own.
   * @throws OnepassError `invalid_argument` of `request_id` when the key was used with another digest.
   */
  async once(
    key: string,
    digest: string,
    make: () => Promise<MessageInitShape<typeof RecommendResponseSchema>>,
  ): Promise<Uint8Array> {
    for (;;) {
      const entry = this.#live(key);
      if (entry === undefined) return this.#make(key, digest, make);
      if (entry.digest !== digest) {
        throw invalidArgument('request_id', 'was used for another request within the last 10 minutes');
      }
      if (entry.bytes !== undefined) return entry.bytes;
      await entry.settled;
    }
  }

  async #make(
    key: string,
    digest: string,
    make: () => Promise<MessageInitShape<typeof RecommendResponseSchema>>,
  ): Promise<Uint8Array> {
    const entry: Entry = { digest, expiresMs: this.#now() + LIFETIME_MS, settled: Promise.resolve() };
    this.#entries.set(key, entry);
    const made = make().then((init) => {
      const bytes = toBinary(RecommendResponseSchema, create(RecommendResponseSchema, init));
      // Forgotten while it was made.
      if (this.#entries.get(key) !== entry) return bytes;
      entry.bytes = bytes;
      this.#bytes += bytes.length;
      this.#evict();
      return bytes;
    });
    entry.settled = made.catch(() => this.#entries.get(key) === entry && this.#entries.delete(key));
    return made;
  }

  /** Drops all whose key begins with `prefix`, those in the making too. */
  forget(prefix: string): void {
    for (const [key, entry] of this.#entries) if (key.startsWith(prefix)) this.#forget(key, entry);
  }

  #live(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresMs > this.#now()) return entry;
    this.#forget(key, entry);
    return undefined;
  }

  /** Oldest first: the expired, and as many more as the capacity asks for. */
  #evict(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#bytes <= this.#capacityBytes && entry.expiresMs > this.#now()) return;
      if (entry.bytes !== undefined) this.#forget(key, entry);
    }
  }

  #forget(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes?.length ?? 0;
  }
}

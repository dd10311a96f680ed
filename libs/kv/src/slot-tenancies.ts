import { kvMiss, OnepassError } from '@onepass/errors';
import type { Visit } from './eviction-order.js';
import type { KvReference } from './reference.js';
import { type KvRefusal, SlotBook, type SlotBookOptions, type SlotBookStats, type SlotPages } from './slot-book.js';
import { keyWordsOfHex, type SlotContent, type SlotHeaders } from './slot-header.js';

/** One person's tenancy of a slot, from allocation to the end. The writer keeps its fields up to date. */
export interface SlotState extends SlotContent {
  readonly slot: number;
  /** 32 hex digits. */
  readonly personKey: string;
  /** What references to this content carry; the same over appends. */
  readonly generation: bigint;
}

export interface SlotTenanciesOptions extends SlotBookOptions {
  readonly releaseId: string;
  readonly poolId: string;
  /** Most tokens of one slot. */
  readonly capacity: number;
  /** Pages of a slot that so many tokens take. */
  readonly pagesOf: (tokens: number) => number;
}

type Tenancy = { -readonly [K in keyof SlotState]: SlotState[K] } & { published: boolean };

/**
 * What every writer of a pool does, wherever its bytes lie: slots allocated for persons by the book, published under generations that their headers
 * carry, appended to, and at last retired or evicted. Allocating and leasing keep a slot from eviction until as many `release`s. The work of one
 * person must not overlap.
 */
export class SlotTenancies {
  readonly #options: SlotTenanciesOptions;
  readonly #headers: SlotHeaders;
  readonly #book: SlotBook;
  readonly #tenancies: (Tenancy | undefined)[] = [];

  /** @param memory where the pages lie; readers of a slot miss before any of its pages is discarded */
  constructor(options: SlotTenanciesOptions, headers: SlotHeaders, memory: SlotPages) {
    this.#options = options;
    this.#headers = headers;
    for (let slot = 0; slot < options.slots; slot++) headers.reset(slot);
    this.#book = new SlotBook(options, {
      reserve: (slot, from, to) => memory.reserve(slot, from, to),
      // Only of slots that nobody is to read any more. Whoever still does finds another generation when it is done.
      discard: (slot, from, to) => {
        headers.close(slot);
        memory.discard(slot, from, to);
      },
    });
  }

  /** The person's published KV. A person's visit counts as a use of it. */
  lookup(personKey: string, visit: Visit = 'person'): SlotState | undefined {
    const slot = this.#book.lookup(personKey, visit);
    return slot === undefined ? undefined : this.#tenancies[slot];
  }

  /** @returns the tenancy, and how many pages were there before it and may hold what others left; or a refusal: nothing has changed then */
  allocate(personKey: string, tokens: number, visit: Visit): { state: SlotState; oldPages: number } | KvRefusal {
    const found = this.#book.allocate(personKey, this.#options.pagesOf(tokens), visit);
    if (typeof found === 'string') return found;
    const { slot, oldPages } = found;
    const generation = this.#headers.close(slot);
    const state: Tenancy = { slot, personKey, generation, length: 0, sequence: 0, hash: 0n, published: false };
    this.#tenancies[slot] = state;
    return { state, oldPages };
  }

  /** @throws OnepassError `kv_miss` when the slot was retired meanwhile */
  grow(state: SlotState, tokens: number): KvRefusal | undefined {
    this.require(state);
    return this.#book.grow(state.personKey, this.#options.pagesOf(tokens));
  }

  lease({ slot }: SlotState): void {
    this.#book.lease(slot);
  }

  release({ slot, personKey }: SlotState): void {
    if (!this.#book.release(slot, personKey))
      throw new OnepassError({ kind: 'internal' }, 'a KV slot was released once too often');
  }

  /**
   * @throws OnepassError `kv_miss` when the slot was retired meanwhile; `internal` when the length is beyond its room or less than was published
   * before (allocate anew to re-encode).
   */
  publish(state: SlotState, content: SlotContent): void {
    const tenancy = this.require(state);
    const pages = this.#book.pagesOf(state.slot);
    const fits = content.length <= this.#options.capacity && this.#options.pagesOf(content.length) <= pages;
    if (!fits || content.length < tenancy.length) {
      const problem = `${content.length} tokens published, ${tenancy.length} were, ${pages} pages of each tensor are there`;
      throw new OnepassError({ kind: 'internal' }, 'KV cannot be published', { cause: new Error(problem) });
    }
    this.#headers.setContent(tenancy.slot, content);
    if (!tenancy.published) this.#headers.open(tenancy.slot, tenancy.generation, keyWordsOfHex(tenancy.personKey));
    tenancy.length = content.length;
    tenancy.sequence = content.sequence;
    tenancy.hash = content.hash;
    tenancy.isLossy = content.isLossy;
    tenancy.published = true;
    this.#book.publish(tenancy.personKey);
  }

  /** Ends the person's KV: readers miss from now on, the one under way too. */
  retire(personKey: string): void {
    this.#end(this.#book.retire(personKey));
  }

  /** Retires, and remembers nothing of who gave way. Readers of what the person held before, and nobody has used since, miss too. */
  forget(personKey: string): void {
    this.#end(this.#book.forget(personKey));
    for (const [slot, tenancy] of this.#tenancies.entries()) {
      if (tenancy?.personKey !== personKey) continue;
      this.#headers.close(slot);
      this.#headers.clear(slot);
      this.#tenancies[slot] = undefined;
    }
  }

  /** Ends this one tenancy, whatever its person holds by now. */
  end({ slot, generation, personKey }: Pick<SlotState, 'slot' | 'generation' | 'personKey'>): void {
    if (this.#tenancies[slot]?.generation !== generation) return;
    if (this.#book.has(personKey, slot)) this.#book.retire(personKey);
    this.#headers.close(slot);
  }

  /** A reference to everything published of this slot. */
  reference(state: SlotState): KvReference {
    return {
      releaseId: this.#options.releaseId,
      poolId: this.#options.poolId,
      slot: state.slot,
      generation: state.generation,
      length: state.length,
      personKey: Buffer.from(state.personKey, 'hex'),
      historySequence: BigInt(state.sequence),
      historyHash: state.hash,
    };
  }

  /** @throws OnepassError `kv_miss` when the slot is no longer this tenancy's */
  require(state: SlotState): Tenancy {
    const tenancy = this.#tenancies[state.slot];
    if (tenancy !== state || !this.#book.has(state.personKey, state.slot))
      throw kvMiss('the slot was retired while it was written');
    return tenancy;
  }

  /** Pages of a slot. */
  pagesOf(slot: number): number {
    return this.#book.pagesOf(slot);
  }

  stats(): SlotBookStats {
    return this.#book.stats();
  }

  #end(slot: number | undefined): void {
    if (slot !== undefined) this.#headers.close(slot);
  }
}

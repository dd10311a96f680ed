import { startupError } from '@onepass/errors';
import type { SparseMemory } from '@onepass/shared-memory';
import type { Visit } from './eviction-order.js';
import {
  type KvShape,
  type KvTensors,
  kvBytes,
  PAGE_BYTES,
  type PoolLayout,
  pagesOf,
  poolLayout,
  slotTensors,
  tensorsAt,
} from './layout.js';
import { unmakePool, writePoolHeader } from './pool-header.js';
import type { KvReference } from './reference.js';
import type { KvRefusal, SlotBookStats } from './slot-book.js';
import { type SlotContent, SlotHeaders } from './slot-header.js';
import { type SlotState, SlotTenancies } from './slot-tenancies.js';

export interface KvPoolOptions {
  readonly shape: KvShape;
  /** Most persons held at one time. */
  readonly slots: number;
  /** Memory for KV; absent = enough for every slot to be full. */
  readonly bytes?: number | undefined;
  readonly releaseId: string;
  /** Never used before for this pool: references of an earlier writer must miss. */
  readonly poolId: string;
  /** How long a retired slot rests before it is used again: the longest deadline that a reader can have. */
  readonly restMs: number;
  /** A clock that does not run backwards, in milliseconds. */
  readonly now: () => number;
}

export interface KvPoolStats extends Omit<SlotBookStats, 'pages'> {
  /** Memory that is reserved for KV, and the most that may be. */
  readonly bytes: number;
  readonly bytesLimit: number;
}

/**
 * The one writer of a pool. A slot is allocated for a person, filled, published, appended to and published again, and at last retired or evicted.
 * Allocating and leasing keep a slot from eviction until as many `release`s. The work of one person must not overlap.
 */
export class KvPoolWriter {
  readonly #memory: SparseMemory;
  readonly #layout: PoolLayout;
  readonly #headers: SlotHeaders;
  readonly #tenancies: SlotTenancies;
  readonly #pageBytes: number;
  readonly #bytesLimit: number;
  readonly #tensors: (KvTensors | undefined)[] = [];
  /** By slot, the person whose KV its bytes are; undefined = nobody's. */
  readonly #owners: (string | undefined)[] = [];

  private constructor(memory: SparseMemory, layout: PoolLayout, options: KvPoolOptions) {
    const { shape } = options;
    this.#memory = memory;
    this.#layout = layout;
    this.#headers = new SlotHeaders(memory.view(0, layout.headerBytes), layout);
    this.#pageBytes = 2 * shape.layers * PAGE_BYTES;
    this.#bytesLimit = poolMemory(options);
    const pages = Math.floor(this.#bytesLimit / this.#pageBytes);
    this.#tenancies = new SlotTenancies(
      { ...options, pages, capacity: shape.capacity, pagesOf: (tokens) => pagesOf(shape, tokens) },
      this.#headers,
      {
        reserve: (slot, from, to) => this.#reserve(slot, from, to),
        discard: (slot, from, to) => this.#discard(slot, from, to),
      },
    );
  }

  /**
   * Makes an empty pool, whatever the memory held: references into an earlier pool miss.
   * @throws OnepassError `startup` when the memory is smaller than `poolBytes`, or `bytes` has no room for one full slot.
   */
  static create(memory: SparseMemory, options: KvPoolOptions): KvPoolWriter {
    const layout = poolLayout(options.shape, options.slots);
    if (memory.bytes < layout.bytes) {
      throw startupError(
        `a KV pool of ${options.slots} slots takes ${layout.bytes} bytes, the memory has ${memory.bytes}`,
      );
    }
    const bytes = poolMemory(options);
    if (bytes < layout.slotStride) {
      throw startupError(`a KV pool of ${bytes} bytes has no room for one full slot of ${layout.slotStride}`);
    }
    if (!memory.reserve(0, layout.headerBytes)) {
      throw startupError(`there is no space for the ${layout.headerBytes} bytes of a KV pool's headers`);
    }
    const header = memory.view(0, layout.headerBytes);
    unmakePool(header);
    const writer = new KvPoolWriter(memory, layout, options);
    writePoolHeader(header, layout, options);
    return writer;
  }

  /** The person's published KV. A person's visit counts as a use of it. */
  lookup(personKey: string, visit: Visit = 'person'): SlotState | undefined {
    return this.#tenancies.lookup(personKey, visit);
  }

  /**
   * A slot with room for so many tokens to fill for this person, leased once. What the person held before is replaced; readers of it are left in
   * peace while it rests.
   * @returns a refusal when leases and rests of others are in the way: nothing has changed then
   */
  allocate(personKey: string, tokens: number, visit: Visit = 'person'): SlotState | KvRefusal {
    const found = this.#tenancies.allocate(personKey, tokens, visit);
    if (typeof found === 'string') return found;
    const { slot } = found.state;
    // What another person left behind the new tokens would outlast them: nobody could find it any more to forget it.
    const owner = this.#owners[slot];
    if (owner !== undefined && owner !== personKey) this.#wipe(slot, found.oldPages);
    this.#owners[slot] = personKey;
    return found.state;
  }

  /**
   * Room for so many tokens in all, those it has included; it must be leased.
   * @returns a refusal when leases and rests of others are in the way: nothing has changed then
   * @throws OnepassError `kv_miss` when the slot was retired meanwhile
   */
  grow(state: SlotState, tokens: number): KvRefusal | undefined {
    return this.#tenancies.grow(state, tokens);
  }

  /** Not evicted until as many `release`s: for the time of an append. */
  lease(state: SlotState): void {
    this.#tenancies.lease(state);
  }

  /** What was allocated and never published ends with its last lease. */
  release(state: SlotState): void {
    this.#tenancies.release(state);
  }

  /**
   * The slot's K and V in place, [capacity x width] per layer. Write only from token `state.length` on, no further than there is room, and only while
   * it is leased.
   */
  tensors({ slot }: SlotState): KvTensors {
    return this.#tensorsOf(slot);
  }

  /**
   * Readers may read the first `content.length` tokens from now on; also after an append.
   * @throws OnepassError `kv_miss` when the slot was retired meanwhile; `internal` when the length is beyond its room or less than
   * was published before (allocate anew to re-encode).
   */
  publish(state: SlotState, content: SlotContent): void {
    this.#tenancies.publish(state, content);
  }

  /** Ends the person's KV: readers miss from now on, the one under way too. */
  retire(personKey: string): void {
    this.#tenancies.retire(personKey);
  }

  /**
   * Leaves no byte of a person in the pool: neither in their slot nor in those that they held before and nobody has used since. None of
   * them may be leased. The slots' generations change first, and what is read of them from then on is a miss, so their bytes can be
   * overwritten at once: a reader that is in the middle of them looks at the generation when it is done and throws its numbers away.
   * Resting only spares such readers the miss.
   */
  forget(personKey: string): void {
    this.#tenancies.forget(personKey);
    for (const [slot, owner] of this.#owners.entries()) {
      if (owner === personKey) this.#wipe(slot, this.#tenancies.pagesOf(slot));
    }
  }

  /** A reference to everything published of this slot. */
  reference(state: SlotState): KvReference {
    return this.#tenancies.reference(state);
  }

  stats(): KvPoolStats {
    const { pages, ...stats } = this.#tenancies.stats();
    return { ...stats, bytes: pages * this.#pageBytes, bytesLimit: this.#bytesLimit };
  }

  #tensorsOf(slot: number): KvTensors {
    this.#tensors[slot] ??= slotTensors(this.#memory, this.#layout, slot);
    return this.#tensors[slot];
  }

  #reserve(slot: number, from: number, to: number): boolean {
    const taken: number[] = [];
    for (const at of tensorsAt(this.#layout, slot)) {
      if (!this.#memory.reserve(at + from * PAGE_BYTES, (to - from) * PAGE_BYTES)) {
        for (const before of taken) this.#memory.discard(before + from * PAGE_BYTES, (to - from) * PAGE_BYTES);
        return false;
      }
      taken.push(at);
    }
    return true;
  }

  #discard(slot: number, from: number, to: number): void {
    for (const at of tensorsAt(this.#layout, slot)) {
      this.#memory.discard(at + from * PAGE_BYTES, (to - from) * PAGE_BYTES);
    }
    if (from === 0) this.#disown(slot);
  }

  #wipe(slot: number, pages: number): void {
    const end = (pages * PAGE_BYTES) / Float32Array.BYTES_PER_ELEMENT;
    const { keys, values } = this.#tensorsOf(slot);
    for (const tensor of [...keys, ...values]) tensor.fill(0, 0, end);
    this.#disown(slot);
  }

  #disown(slot: number): void {
    this.#headers.clear(slot);
    this.#owners[slot] = undefined;
  }
}

function poolMemory({ shape, slots, bytes }: KvPoolOptions): number {
  return bytes ?? slots * kvBytes(shape, shape.capacity);
}

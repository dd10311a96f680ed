import { kvMiss, OnepassError, startupError } from '@onepass/errors';
import type { SharedMemory } from '@onepass/shared-memory';
import { EvictionOrder } from './eviction-order.js';
import { type KvShape, type KvTensors, type PoolLayout, poolLayout, slotTensors } from './layout.js';
import { unmakePool, writePoolHeader } from './pool-header.js';
import type { KvReference } from './reference.js';
import { keyWordsOfHex, type SlotContent, SlotHeaders } from './slot-header.js';

export interface KvPoolOptions {
  readonly shape: KvShape;
  readonly slots: number;
  readonly releaseId: string;
  /** Never used before for this pool: references of an earlier writer must miss. */
  readonly poolId: string;
  /** How long a freed slot rests before it is used again: the longest deadline that a reader can have. */
  readonly restMs: number;
  /** A clock that does not run backwards, in milliseconds. */
  readonly now: () => number;
}

/** One person's tenancy of a slot, from claim to release. The writer keeps its fields up to date. */
export interface SlotState extends SlotContent {
  readonly slot: number;
  /** 32 hex digits. */
  readonly personKey: string;
  /** What references to this content carry; the same over appends. */
  readonly generation: bigint;
}

export interface KvPoolStats {
  readonly slots: number;
  /** Slots that hold a person's KV or are about to. */
  readonly held: number;
  readonly resting: number;
  readonly pinned: number;
  readonly claims: number;
  readonly evictions: number;
  /** Evictions of slots used less than `restMs` ago: more than a few say that the pool is too small. */
  readonly earlyEvictions: number;
  /** Claims that found nothing. */
  readonly refusals: number;
}

type Tenancy = { -readonly [K in keyof SlotState]: SlotState[K] } & { published: boolean; usedAt: number };

/**
 * The one writer of a pool. A slot is claimed for a person, filled, published, appended to and published again, and at last released or
 * evicted. Claiming and pinning keep a slot from eviction until as many `unpin`s. The work of one person must not overlap.
 */
export class KvPoolWriter {
  readonly #options: KvPoolOptions;
  readonly #layout: PoolLayout;
  readonly #headers: SlotHeaders;
  readonly #tensors: readonly KvTensors[];
  readonly #order: EvictionOrder;
  readonly #tenancies = new Map<string, Tenancy>();
  readonly #pins: number[];
  /** By slot, the person whose KV its bytes are; undefined = nobody's. */
  readonly #owners: (string | undefined)[];
  /** Slots without a person, and when they may be used again; the one freed first at the front. */
  readonly #freed = new Map<number, number>();
  readonly #counts = { claims: 0, evictions: 0, earlyEvictions: 0, refusals: 0 };

  private constructor(memory: SharedMemory, layout: PoolLayout, options: KvPoolOptions) {
    this.#options = options;
    this.#layout = layout;
    this.#headers = new SlotHeaders(memory.buffer, layout);
    this.#tensors = Array.from({ length: layout.slots }, (_, slot) => slotTensors(memory.buffer, layout, slot));
    this.#order = new EvictionOrder(layout.slots);
    this.#pins = new Array<number>(layout.slots).fill(0);
    this.#owners = new Array<string | undefined>(layout.slots).fill(undefined);
    for (let slot = 0; slot < layout.slots; slot++) {
      this.#headers.reset(slot);
      this.#freed.set(slot, Number.NEGATIVE_INFINITY);
    }
  }

  /**
   * Makes an empty pool, whatever the memory held: references into an earlier pool miss.
   * @throws OnepassError `startup` when the memory is smaller than `poolBytes`.
   */
  static create(memory: SharedMemory, options: KvPoolOptions): KvPoolWriter {
    const layout = poolLayout(options.shape, options.slots);
    if (memory.bytes < layout.bytes) {
      throw startupError(
        `a KV pool of ${options.slots} slots takes ${layout.bytes} bytes, the memory has ${memory.bytes}`,
      );
    }
    unmakePool(memory.buffer);
    const writer = new KvPoolWriter(memory, layout, options);
    writePoolHeader(memory.buffer, layout, options);
    return writer;
  }

  /** The person's published KV, which counts as a use of it. */
  find(personKey: string): SlotState | undefined {
    const tenancy = this.#tenancies.get(personKey);
    if (!tenancy?.published) return undefined;
    tenancy.usedAt = this.#options.now();
    this.#order.use(personKey);
    return tenancy;
  }

  /**
   * A slot to fill for this person, pinned once: a freed one that has rested, else that of the person who gives way (`EvictionOrder`). What the person
   * held before is replaced; readers of it are left in peace while it rests.
   * @returns undefined when every slot is pinned or rests: nothing has changed then.
   */
  claim(personKey: string): SlotState | undefined {
    const slot = this.#rested() ?? this.#evict();
    if (slot === undefined) {
      this.#counts.refusals++;
      return undefined;
    }
    this.#counts.claims++;
    const held = this.#tenancies.get(personKey);
    if (held) this.#part(held);
    else this.#order.add(personKey);
    this.#pins[slot] = 1;
    const generation = this.#headers.close(slot);
    // What another person left behind the new tokens would outlast them: nobody could find it any more to forget it.
    if (this.#owners[slot] !== undefined && this.#owners[slot] !== personKey) this.#wipe(slot);
    this.#owners[slot] = personKey;
    const tenancy: Tenancy = {
      slot,
      personKey,
      generation,
      length: 0,
      sequence: 0,
      hash: 0n,
      published: false,
      usedAt: this.#options.now(),
    };
    this.#tenancies.set(personKey, tenancy);
    return tenancy;
  }

  /** Not evicted until as many `unpin`s: for the time of an append. */
  pin(state: SlotState): void {
    this.#pins[state.slot]!++;
  }

  /** A claim that was never published ends with its last pin. */
  unpin(state: SlotState): void {
    if (this.#pins[state.slot] === 0)
      throw new OnepassError({ kind: 'internal' }, 'a KV slot was unpinned once too often');
    if (--this.#pins[state.slot]! > 0) return;
    const tenancy = this.#tenancies.get(state.personKey);
    if (tenancy === state && !tenancy.published) this.#vacate(state.personKey);
    else if (tenancy !== state) this.#free(state.slot);
  }

  /** The slot's K and V in place, [capacity x width] per layer. Write only from token `state.length` on, and only while it is pinned. */
  tensors(state: SlotState): KvTensors {
    return this.#tensors[state.slot]!;
  }

  /**
   * Readers may read the first `content.length` tokens from now on; also after an append.
   * @throws OnepassError `kv_miss` when the slot was released meanwhile; `internal` when the length is beyond the capacity or less than
   * was published before (claim anew to re-encode).
   */
  publish(state: SlotState, content: SlotContent): void {
    const tenancy = this.#tenancies.get(state.personKey);
    if (tenancy !== state) throw kvMiss('the slot was released while it was written');
    if (content.length > this.#layout.shape.capacity || content.length < tenancy.length) {
      const problem = `${content.length} tokens published, ${tenancy.length} were, ${this.#layout.shape.capacity} fit`;
      throw new OnepassError({ kind: 'internal' }, 'KV cannot be published', { cause: new Error(problem) });
    }
    this.#headers.setContent(tenancy.slot, content);
    if (!tenancy.published) this.#headers.open(tenancy.slot, tenancy.generation, keyWordsOfHex(tenancy.personKey));
    tenancy.length = content.length;
    tenancy.sequence = content.sequence;
    tenancy.hash = content.hash;
    tenancy.published = true;
  }

  /** Forgets the person's KV: readers miss from now on, the one under way too. */
  release(personKey: string): void {
    const tenancy = this.#tenancies.get(personKey);
    if (tenancy === undefined) return;
    this.#headers.close(tenancy.slot);
    this.#vacate(personKey);
  }

  /**
   * Leaves no byte of a person in the pool: neither in their slot nor in those that they held before and nobody has used since. None of
   * them may be pinned. The slots' generations change first, and what is read of them from then on is a miss, so their bytes can be
   * overwritten at once: a reader that is in the middle of them looks at the generation when it is done and throws its numbers away.
   * Resting only spares such readers the miss.
   */
  forget(personKey: string): void {
    this.release(personKey);
    this.#order.delete(personKey);
    for (const [slot, owner] of this.#owners.entries()) {
      if (owner !== personKey) continue;
      this.#headers.close(slot);
      this.#wipe(slot);
    }
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

  stats(): KvPoolStats {
    const now = this.#options.now();
    let resting = 0;
    for (const rested of this.#freed.values()) if (rested > now) resting++;
    const pinned = this.#pins.filter((pins) => pins > 0).length;
    return { slots: this.#layout.slots, held: this.#tenancies.size, resting, pinned, ...this.#counts };
  }

  #wipe(slot: number): void {
    const { keys, values } = this.#tensors[slot]!;
    for (const tensor of [...keys, ...values]) tensor.fill(0);
    this.#headers.clear(slot);
    this.#owners[slot] = undefined;
  }

  #rested(): number | undefined {
    for (const [slot, rested] of this.#freed) {
      if (rested > this.#options.now()) return undefined;
      this.#freed.delete(slot);
      return slot;
    }
    return undefined;
  }

  #evict(): number | undefined {
    for (const personKey of this.#order.victims()) {
      const tenancy = this.#tenancies.get(personKey)!;
      if (this.#pins[tenancy.slot]! > 0) continue;
      this.#tenancies.delete(personKey);
      this.#order.giveWay(personKey);
      this.#counts.evictions++;
      if (this.#options.now() - tenancy.usedAt < this.#options.restMs) this.#counts.earlyEvictions++;
      return tenancy.slot;
    }
    return undefined;
  }

  /** The slot has no person any more; it rests as soon as nobody works on it. */
  #vacate(personKey: string): void {
    const tenancy = this.#tenancies.get(personKey);
    if (tenancy === undefined) return;
    this.#order.delete(personKey);
    this.#part(tenancy);
  }

  #part({ personKey, slot }: Tenancy): void {
    this.#tenancies.delete(personKey);
    if (this.#pins[slot] === 0) this.#free(slot);
  }

  #free(slot: number): void {
    this.#freed.set(slot, this.#options.now() + this.#options.restMs);
  }
}

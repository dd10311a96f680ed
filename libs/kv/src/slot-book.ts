import { EvictionOrder, type Visit } from './eviction-order.js';

/** Why a slot, or more of one, is not to be had now. Both pass: a lease ends, a slot has rested. */
export type KvRefusal = 'no_slot' | 'no_memory';

/** What a slot is: without a person, being filled for one, readable, or left in peace after one (while it rests, or is still worked on). */
export type SlotPhase = 'free' | 'filling' | 'held' | 'resting';

/** Where pages lie; the book decides how many. Pages of a slot are counted from its beginning. */
export interface SlotPages {
  /** @returns false: there is no space, whatever the book believes */
  reserve(slot: number, from: number, to: number): boolean;
  discard(slot: number, from: number, to: number): void;
}

export interface SlotBookOptions {
  readonly slots: number;
  /** Pages of all slots together that may be reserved at one time. */
  readonly pages: number;
  /** How long a retired slot rests before it is used again: the longest deadline that a reader can have. */
  readonly restMs: number;
  /** A clock that does not run backwards, in milliseconds. */
  readonly now: () => number;
}

export interface SlotBookStats {
  /** Slots by what they are; together all there are. */
  readonly slots: Readonly<Record<SlotPhase, number>>;
  /** Slots that are worked on, whatever they are. */
  readonly leased: number;
  /** Pages that are reserved. */
  readonly pages: number;
  readonly allocations: number;
  readonly evictions: number;
  /** Evictions of slots used less than `restMs` ago: more than a few say that the pool is too small. */
  readonly earlyEvictions: number;
  readonly refusals: number;
}

interface Holding {
  readonly slot: number;
  published: boolean;
  usedAt: number;
}

interface Slot {
  pages: number;
  leases: number;
  /** Until when it rests; undefined = it has a person, or is worked on for one who has left it. */
  restedAt: number | undefined;
}

/** There was not as much space as the book believes. */
const NO_SPACE = Symbol();
type NoSpace = typeof NO_SPACE;

/** What an allocation found: the slot, and how many of its pages were there before it, perhaps more than were asked for. */
export interface Allocation {
  readonly slot: number;
  readonly oldPages: number;
}

/**
 * Who has which slot, and how many pages each has: a pool's policy, without its memory. Slots are many and cost nothing; pages are the memory. A person's
 * slot has as many as their history needs, so that short histories leave room for more persons.
 */
export class SlotBook {
  readonly #options: SlotBookOptions;
  readonly #memory: SlotPages;
  readonly #slots: Slot[];
  readonly #holdings = new Map<string, Holding>();
  readonly #order: EvictionOrder;
  /** Slots without pages. */
  readonly #empty: number[];
  /** Slots that rest, and such that have rested and still have pages; the one retired first at the front. */
  readonly #retired = new Set<number>();
  #pages = 0;
  #leased = 0;
  /** Leased slots whose person has left them. */
  #left = 0;
  readonly #counts = { allocations: 0, evictions: 0, earlyEvictions: 0, refusals: 0 };

  constructor(options: SlotBookOptions, memory: SlotPages) {
    this.#options = options;
    this.#memory = memory;
    this.#slots = Array.from({ length: options.slots }, () => ({ pages: 0, leases: 0, restedAt: undefined }));
    this.#empty = Array.from({ length: options.slots }, (_, i) => options.slots - 1 - i);
    this.#order = new EvictionOrder(options.pages);
  }

  /** The slot that holds the person's KV, which counts as a use of it. */
  lookup(person: string, visit: Visit = 'person'): number | undefined {
    const holding = this.#holdings.get(person);
    if (!holding?.published) return undefined;
    holding.usedAt = this.#options.now();
    if (visit === 'person') this.#order.use(person);
    return holding.slot;
  }

  /**
   * A slot with so many pages to fill for this person, leased once: a rested one, an empty one, or that of the person who gives way
   * (`EvictionOrder`). What the person held before rests.
   * @returns a refusal when others' leases or rests are in the way; nothing has changed then
   */
  allocate(person: string, pages: number, visit: Visit = 'person'): Allocation | KvRefusal {
    return this.#within((limit) => this.#allocate(person, { pages, visit, limit }));
  }

  /** So many pages for the person's slot, which must be leased. @returns a refusal when the memory cannot be had; nothing has changed then */
  grow(person: string, pages: number): KvRefusal | undefined {
    return this.#within((limit) => this.#grow(person, pages, limit));
  }

  /** Its KV may be looked up from now on. */
  publish(person: string): void {
    this.#holdings.get(person)!.published = true;
  }

  /** Whether the slot is the person's. */
  has(person: string, slot: number): boolean {
    return this.#holdings.get(person)?.slot === slot;
  }

  /** Neither evicted nor used again until as many `release`s. */
  lease(slot: number): void {
    if (this.#slots[slot]!.leases++ === 0) this.#leased++;
  }

  /** What was allocated and never published ends with its last lease. @returns false when there was no lease */
  release(slot: number, person: string): boolean {
    const state = this.#slots[slot]!;
    if (state.leases === 0) return false;
    if (--state.leases > 0) return true;
    this.#leased--;
    const holding = this.#holdings.get(person);
    if (holding?.slot !== slot) {
      this.#left--;
      this.#retire(slot);
    } else if (!holding.published) this.retire(person);
    return true;
  }

  /** The person has no KV any more; their slot rests as soon as nobody works on it. @returns the slot */
  retire(person: string): number | undefined {
    const holding = this.#holdings.get(person);
    if (holding === undefined) return undefined;
    this.#holdings.delete(person);
    this.#order.delete(person);
    this.#leave(holding.slot);
    return holding.slot;
  }

  /** Retires, and remembers nothing of who gave way. */
  forget(person: string): number | undefined {
    const slot = this.retire(person);
    this.#order.delete(person);
    return slot;
  }

  /** Pages of a slot. */
  pagesOf(slot: number): number {
    return this.#slots[slot]!.pages;
  }

  stats(): SlotBookStats {
    let held = 0;
    for (const { published } of this.#holdings.values()) if (published) held++;
    const filling = this.#holdings.size - held;
    const now = this.#options.now();
    let resting = this.#left;
    for (const slot of this.#retired) if (this.#slots[slot]!.restedAt! > now) resting++;
    const free = this.#options.slots - held - filling - resting;
    const slots = { free, filling, held, resting };
    return { slots, leased: this.#leased, pages: this.#pages, ...this.#counts };
  }

  /** Where there is less space than pages were promised, what is reserved has to do: somebody gives way, as where all of it is. */
  #within<T>(attempt: (limit: number) => T | KvRefusal | NoSpace): T | KvRefusal {
    let found = attempt(this.#options.pages);
    if (found === NO_SPACE) found = attempt(this.#pages);
    if (found === NO_SPACE) found = 'no_memory';
    if (typeof found === 'string') this.#counts.refusals++;
    return found;
  }

  #allocate(
    person: string,
    { pages, visit, limit }: { pages: number; visit: Visit; limit: number },
  ): Allocation | KvRefusal | NoSpace {
    const room = this.#findRoom(pages, limit);
    if (typeof room === 'string') return room;
    for (const victim of room.victims) this.#evict(victim, room.slot);
    for (const slot of room.reclaimed) this.#reclaim(slot);
    const { slot } = room;
    this.#retired.delete(slot);
    const state = this.#slots[slot]!;
    state.restedAt = undefined;
    const oldPages = room.isRead ? state.pages : Math.min(state.pages, pages);
    this.#resize(slot, oldPages);
    if (!this.#resize(slot, Math.max(oldPages, pages))) {
      this.#retire(slot, room.isRead ? undefined : Number.NEGATIVE_INFINITY);
      return NO_SPACE;
    }
    this.#counts.allocations++;
    const held = this.#holdings.get(person);
    if (held) {
      this.#leave(held.slot);
      this.#order.weigh(person, state.pages);
    } else this.#order.add(person, state.pages, visit);
    this.#holdings.set(person, { slot, published: false, usedAt: this.#options.now() });
    this.lease(slot);
    return { slot, oldPages };
  }

  #grow(person: string, pages: number, limit: number): KvRefusal | NoSpace | undefined {
    const { slot } = this.#holdings.get(person)!;
    const more = pages - this.#slots[slot]!.pages;
    if (more <= 0) return undefined;
    const room = this.#findPages(more, limit, slot);
    if (room.missing > 0) return 'no_memory';
    for (const victim of room.victims) this.#evict(victim);
    for (const one of room.reclaimed) this.#reclaim(one);
    if (!this.#resize(slot, pages)) return NO_SPACE;
    this.#order.weigh(person, pages);
    return undefined;
  }

  /**
   * Where so many pages can be had: a slot, and who has to give theirs up for it. `isRead`: somebody may still be reading it, so its pages must stay
   * pages: a touch of one that is gone takes memory that nobody counts, and where there is none left ends the reader.
   */
  #findRoom(
    pages: number,
    limit: number,
  ): { slot: number; isRead: boolean; victims: string[]; reclaimed: number[] } | KvRefusal {
    const slot = this.#rested() ?? this.#empty.at(-1);
    const found = this.#findPages(pages - (slot === undefined ? 0 : this.#slots[slot]!.pages), limit, slot);
    if (slot !== undefined && found.missing <= 0) {
      if (this.#slots[slot]!.pages === 0) this.#empty.pop();
      return { slot, isRead: false, ...found };
    }
    let refusal: KvRefusal = slot === undefined ? 'no_slot' : 'no_memory';
    for (const person of this.#order.victims()) {
      const own = this.#holdings.get(person)!.slot;
      const { leases, pages: ownPages } = this.#slots[own]!;
      if (leases > 0) continue;
      refusal = 'no_memory';
      const isRead = this.#isEarly(person);
      if (found.missing > (isRead ? ownPages : 0)) continue;
      const others = this.#findPages(pages - ownPages, limit, own);
      return { slot: own, isRead, ...others, victims: [person, ...others.victims] };
    }
    return refusal;
  }

  /**
   * Of whom so many more pages can be had, beside those of the limit that are not reserved: of rested slots first, and of nobody who may still be read. `missing`: how many
   * cannot be had; none when it is not above 0.
   */
  #findPages(
    more: number,
    limit: number,
    except?: number,
  ): { victims: string[]; reclaimed: number[]; missing: number } {
    let missing = more - (limit - this.#pages);
    const reclaimed: number[] = [];
    const victims: string[] = [];
    const now = this.#options.now();
    for (const slot of this.#retired) {
      if (missing <= 0 || this.#slots[slot]!.restedAt! > now) break;
      if (slot === except) continue;
      reclaimed.push(slot);
      missing -= this.#slots[slot]!.pages;
    }
    if (missing <= 0) return { victims, reclaimed, missing };
    for (const person of this.#order.victims()) {
      const { slot } = this.#holdings.get(person)!;
      if (slot === except || this.#slots[slot]!.leases > 0 || this.#isEarly(person)) continue;
      victims.push(person);
      missing -= this.#slots[slot]!.pages;
      if (missing <= 0) break;
    }
    return { victims, reclaimed, missing };
  }

  /** @param keep a slot whose pages are wanted as they are */
  #evict(person: string, keep?: number): void {
    const { slot } = this.#holdings.get(person)!;
    if (this.#isEarly(person)) this.#counts.earlyEvictions++;
    this.#holdings.delete(person);
    this.#order.giveWay(person);
    this.#counts.evictions++;
    if (slot !== keep) this.#reclaim(slot);
  }

  /** Whether a reader may still be at work on what was looked up for them last. */
  #isEarly(person: string): boolean {
    return this.#options.now() - this.#holdings.get(person)!.usedAt < this.#options.restMs;
  }

  /** Its pages are memory again, and the slot is empty. */
  #reclaim(slot: number): void {
    this.#retired.delete(slot);
    this.#resize(slot, 0);
    this.#slots[slot]!.restedAt = undefined;
    this.#empty.push(slot);
  }

  #rested(): number | undefined {
    for (const slot of this.#retired) return this.#slots[slot]!.restedAt! <= this.#options.now() ? slot : undefined;
    return undefined;
  }

  /** Its person has left it. */
  #leave(slot: number): void {
    if (this.#slots[slot]!.leases === 0) this.#retire(slot);
    else this.#left++;
  }

  #retire(slot: number, restedAt = this.#options.now() + this.#options.restMs): void {
    if (this.#slots[slot]!.pages === 0) {
      this.#empty.push(slot);
      return;
    }
    this.#slots[slot]!.restedAt = restedAt;
    this.#retired.add(slot);
  }

  #resize(slot: number, pages: number): boolean {
    const state = this.#slots[slot]!;
    if (pages < state.pages) this.#memory.discard(slot, pages, state.pages);
    else if (pages > state.pages && !this.#memory.reserve(slot, state.pages, pages)) return false;
    this.#pages += pages - state.pages;
    state.pages = pages;
    return true;
  }
}

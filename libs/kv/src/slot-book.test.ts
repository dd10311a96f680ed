import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SlotBook } from './slot-book.js';

const SLOTS = 6;
const PAGES = 10;
const MOST_PAGES = 5;
const REST_MS = 10;
const person = fc.constantFrom('ann', 'bea', 'cat', 'dan', 'eve', 'fay', 'gus', 'hal');
const pages = fc.integer({ min: 1, max: MOST_PAGES });
const visit = fc.constantFrom('person' as const, 'scan' as const);

const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('allocate' as const), person, pages, visit, keep: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('grow' as const), person, pages }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lookup' as const), person, visit }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retire' as const), person }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 12 }) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** A book, and what one can know of it from outside. */
class Watched {
  now = 0;
  /** By slot, pages that are reserved: what the book told its memory. */
  readonly reserved = new Array<number>(SLOTS).fill(0);
  readonly book: SlotBook;
  readonly held = new Map<string, number>();
  readonly #usedAt = new Map<string, number>();
  readonly #leases: { slot: number; person: string }[] = [];
  readonly #restUntil = new Map<number, number>();
  /** Whether the file system has any space left. */
  hasSpace = true;

  constructor() {
    this.book = new SlotBook(
      { slots: SLOTS, pages: PAGES, restMs: REST_MS, now: () => this.now },
      {
        reserve: (slot, from, to) => {
          if (!this.hasSpace) return false;
          expect(this.reserved[slot]).toBe(from);
          this.reserved[slot] = to;
          return true;
        },
        discard: (slot, from, to) => {
          expect(this.reserved[slot]).toBe(to);
          expect(this.isLeased(slot)).toBe(false);
          // Nobody may be reading it: it has rested, or its person who gives way was last asked for as long ago.
          expect(this.#mayBeRead(slot)).toBe(false);
          this.reserved[slot] = from;
        },
      },
    );
  }

  isLeased(slot: number): boolean {
    return this.#leases.some((lease) => lease.slot === slot);
  }

  #mayBeRead(slot: number): boolean {
    for (const [person, own] of this.held) if (own === slot) return this.now - this.#usedAt.get(person)! < REST_MS;
    return (this.#restUntil.get(slot) ?? -1) > this.now;
  }

  #lookup(person: string, visit: 'person' | 'scan'): void {
    expect(this.book.lookup(person, visit)).toBe(this.held.get(person));
    this.#usedAt.set(person, this.now);
  }

  apply(op: Operation): void {
    const before = this.book.stats();
    if (op.kind === 'allocate') this.#allocate(op, before);
    else if (op.kind === 'grow') this.#grow(op.person, op.pages, before);
    else if (op.kind === 'lookup') this.#lookup(op.person, op.visit);
    else if (op.kind === 'retire') this.#retire(op.person);
    else if (op.kind === 'release') this.#release();
    else this.now += op.ms;
    this.#check();
  }

  #allocate(
    { person, pages, visit, keep }: Extract<Operation, { kind: 'allocate' }>,
    before: ReturnType<SlotBook['stats']>,
  ) {
    const possible = this.#possible();
    const readBefore = Array.from(this.reserved, (_, slot) => this.#mayBeRead(slot));
    const found = this.book.allocate(person, pages, visit);
    if (typeof found === 'string') {
      const [had, wanted] = found === 'no_slot' ? [possible.slots, 1] : [possible.pages + possible.inPlace, pages];
      expect(had).toBeLessThan(wanted);
      expect(this.book.stats()).toEqual({ ...before, refusals: before.refusals + 1 });
      return;
    }
    const { slot, oldPages } = found;
    const wasRead = readBefore[slot] ?? false;
    expect(this.isLeased(slot)).toBe(false);
    expect(this.#restUntil.get(slot) ?? -1).toBeLessThanOrEqual(this.now);
    expect(this.reserved[slot]).toBe(wasRead ? Math.max(oldPages, pages) : pages);
    this.#dropEvicted(person, slot);
    this.#usedAt.set(person, this.now);
    const own = this.held.get(person);
    if (own !== undefined) this.#leave(own);
    this.#restUntil.delete(slot);
    this.held.set(person, slot);
    this.book.publish(person);
    this.#leases.push({ slot, person });
    if (!keep) this.#release(this.#leases.length - 1);
  }

  #grow(person: string, pages: number, before: ReturnType<SlotBook['stats']>) {
    const slot = this.held.get(person);
    if (slot === undefined || pages <= this.reserved[slot]!) return;
    this.book.lease(slot);
    this.#leases.push({ slot, person });
    const possible = this.#possible().pages + this.reserved[slot]!;
    const refusal = this.book.grow(person, pages);
    if (refusal === undefined) {
      expect(this.reserved[slot]).toBe(pages);
      this.#dropEvicted(person, slot);
    } else {
      expect(possible).toBeLessThan(pages);
      expect(this.book.stats()).toMatchObject({ slots: before.slots, pages: before.pages });
    }
    this.#release(this.#leases.length - 1);
  }

  #retire(person: string): void {
    const slot = this.held.get(person);
    expect(this.book.retire(person)).toBe(slot);
    if (slot === undefined) return;
    this.held.delete(person);
    this.#leave(slot);
  }

  #release(index = 0): void {
    const [lease] = this.#leases.splice(index, 1);
    if (lease === undefined) return;
    expect(this.book.release(lease.slot, lease.person)).toBe(true);
    if (!this.isLeased(lease.slot) && this.held.get(lease.person) !== lease.slot)
      this.#restUntil.set(lease.slot, this.now + REST_MS);
  }

  #leave(slot: number): void {
    if (!this.isLeased(slot)) this.#restUntil.set(slot, this.now + REST_MS);
  }

  /** Whoever was held and has no pages, or whose slot is another's, gave way; none of them was leased. */
  #dropEvicted(person: string, slot: number): void {
    for (const [other, own] of this.held) {
      const gaveWay = this.book.has(other, own) ? false : other !== person || own === slot || this.reserved[own] === 0;
      if (gaveWay) {
        expect(this.isLeased(own)).toBe(false);
        this.held.delete(other);
      }
    }
  }

  /** What could be had if everybody who may give way did; `inPlace`: in the place of one who may still be read, whose pages stay. */
  #possible() {
    let free = PAGES - this.reserved.reduce((sum, one) => sum + one, 0);
    let slots = 0;
    let inPlace = 0;
    for (let slot = 0; slot < SLOTS; slot++) {
      if (this.isLeased(slot) || (this.#restUntil.get(slot) ?? -1) > this.now) continue;
      slots++;
      if (this.#mayBeRead(slot)) inPlace = Math.max(inPlace, this.reserved[slot]!);
      else free += this.reserved[slot]!;
    }
    return { pages: free, inPlace, slots };
  }

  #check(): void {
    const total = this.reserved.reduce((sum, one) => sum + one, 0);
    expect(total).toBeLessThanOrEqual(PAGES);
    const { slots, pages, leased } = this.book.stats();
    expect(pages).toBe(total);
    expect(slots.free + slots.filling + slots.held + slots.resting).toBe(SLOTS);
    expect(slots.held).toBe(this.held.size);
    expect(leased).toBe(new Set(this.#leases.map(({ slot }) => slot)).size);
  }
}

test('pages are counted, leased and resting slots are left alone, and a refusal means that nobody could give way', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const watched = new Watched();
      for (const op of operations) watched.apply(op);
    }),
    { seed: 11, numRuns: 600 },
  );
});

test('where the file system has no space, whatever the book believes, it is a refusal and the next allocation may go well', () => {
  const watched = new Watched();
  watched.hasSpace = false;
  expect(watched.book.allocate('ann', 2)).toBe('no_memory');
  expect(watched.book.stats()).toMatchObject({ slots: { free: SLOTS }, pages: 0, refusals: 1 });
  watched.hasSpace = true;
  watched.apply({ kind: 'allocate', person: 'ann', pages: 2, visit: 'person', keep: false });
});

test('where there is less space than pages were promised, persons give way as where all of them are taken', () => {
  const space = 4;
  let now = 0;
  let taken = 0;
  const reserve = (_: number, from: number, to: number) => {
    if (taken + to - from > space) return false;
    taken += to - from;
    return true;
  };
  const discard = (_: number, from: number, to: number) => {
    taken -= to - from;
  };
  const book = new SlotBook({ slots: SLOTS, pages: PAGES, restMs: REST_MS, now: () => now }, { reserve, discard });
  for (const name of ['ann', 'bea', 'cat', 'dan', 'eve', 'fay', 'ann']) {
    const found = book.allocate(name, 1);
    if (typeof found === 'string') expect.fail(`${name}: ${found}`);
    now += REST_MS;
    expect(book.grow(name, 2)).toBeUndefined();
    book.publish(name);
    book.release(found.slot, name);
    expect(taken).toBeLessThanOrEqual(space);
    now += REST_MS;
  }
  expect(book.stats()).toMatchObject({ slots: { held: 2 }, pages: space, refusals: 0 });
  expect(book.allocate('gus', space + 1)).toBe('no_memory');
});

test('short histories leave room for more persons than full ones', () => {
  const held = (each: number) => {
    const { book } = new Watched();
    for (const name of ['ann', 'bea', 'cat', 'dan', 'eve', 'fay']) {
      const found = book.allocate(name, each);
      if (typeof found === 'string') continue;
      book.publish(name);
      book.release(found.slot, name);
    }
    return book.stats().slots.held;
  };
  expect(held(MOST_PAGES)).toBe(2);
  expect(held(1)).toBe(6);
});

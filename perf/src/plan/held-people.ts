import { type KvShape, pagesOf, SlotBook, type SlotPages } from '@onepass/kv';

/** What of a person is held. */
export interface HeldContent {
  /** Tokens. */
  readonly length: number;
  /** Of the history that they are made from. */
  readonly sequence: number;
}

export interface HeldOptions {
  readonly slots: number;
  /** Absent: everybody takes as much as everybody else. */
  readonly shape?: KvShape;
  /** How long a retired slot rests, in ms. */
  readonly restMs?: number;
  /** A clock that does not run backwards, in ms; absent: it stands still. */
  readonly now?: () => number;
}

/** One person's piece of work on what is held of them: nobody else takes their slot meanwhile. */
export interface Lease {
  /** Undefined: nothing is held. */
  readonly content: HeldContent | undefined;
  /** Gives up what is held for an empty slot with room for so many tokens. @returns false: others are worked on or rest, and none is to be had */
  claim(tokens: number): boolean;
  /** Room for so many tokens behind those that are held. @returns false as `claim` */
  grow(tokens: number): boolean;
  /** Of a person who is held or has claimed. */
  publish(content: HeldContent): void;
  end(): void;
}

/** Nothing is kept but the book. */
const NO_MEMORY: SlotPages = { reserve: () => true, discard: () => {} };
const ALIKE: KvShape = { layers: 1, width: 1, capacity: 1 };

/** Who is held, decided by the user-encoder's own book of slots, without the memory. */
export class HeldPeople {
  readonly #book: SlotBook;
  readonly #pages: (tokens: number) => number;
  readonly #contents = new Map<string, HeldContent>();

  constructor({ slots, shape = ALIKE, restMs = 0, now = () => 0 }: HeldOptions) {
    // A page is the least that anybody takes: where all are alike, everybody takes one.
    this.#pages = (tokens) => (shape === ALIKE ? 1 : pagesOf(shape, tokens));
    this.#book = new SlotBook({ slots, pages: slots * this.#pages(shape.capacity), restMs, now }, NO_MEMORY);
  }

  /** @param person counts as a visit of theirs */
  lease(person: string): Lease {
    const book = this.#book;
    let slot = book.lookup(person);
    if (slot !== undefined) book.lease(slot);
    const end = () => {
      if (slot !== undefined) book.release(slot, person);
      slot = undefined;
    };
    return {
      content: slot === undefined ? undefined : this.#contents.get(person),
      claim: (tokens) => {
        end();
        const found = book.allocate(person, this.#pages(tokens));
        if (typeof found === 'string') return false;
        slot = found.slot;
        return true;
      },
      grow: (tokens) => book.grow(person, this.#pages(tokens)) === undefined,
      publish: (content) => {
        book.publish(person);
        this.#contents.set(person, content);
      },
      end,
    };
  }
}

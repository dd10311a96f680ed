import { PAGE_BYTES, type PoolLayout, SLOT_HEADER_BYTES } from './layout.js';

// Words of 64 bits.
const WORDS = SLOT_HEADER_BYTES / BigUint64Array.BYTES_PER_ELEMENT;
const GENERATION = 0;
const PERSON = 1;
const SEQUENCE = 3;
const HASH = 4;
const LENGTH = 5;
const CHECKSUM = 6;

/** A person key of 128 bits as two little-endian words. */
export type KeyWords = readonly [bigint, bigint];

/** What one encode left in a slot. */
export interface SlotContent {
  /** Tokens. */
  readonly length: number;
  /** Sequence and hash of the history that these tokens are made from. */
  readonly sequence: number;
  readonly hash: bigint;
  /** They are near what an encode makes, not equal to it: good to be read, not to be appended to. */
  readonly isLossy?: boolean | undefined;
}

/**
 * The headers of all slots. A slot's generation is even while its content may be read, odd while it is in change or free; it only
 * grows. Identity (person, generation) never changes under one even generation; content only grows at its end.
 */
export class SlotHeaders {
  readonly #words: BigUint64Array;

  /** @param buffer the first `layout.headerBytes` of the pool */
  constructor(buffer: ArrayBuffer, { slots }: Pick<PoolLayout, 'slots'>) {
    this.#words = new BigUint64Array(buffer, PAGE_BYTES, slots * WORDS);
  }

  /** For a pool that one process alone reads and writes. */
  static inProcess(slots: number): SlotHeaders {
    return new SlotHeaders(new ArrayBuffer(PAGE_BYTES + slots * SLOT_HEADER_BYTES), { slots });
  }

  generation(slot: number): bigint {
    return Atomics.load(this.#words, slot * WORDS + GENERATION);
  }

  /** In change, whatever the memory held. */
  reset(slot: number): void {
    Atomics.store(this.#words, slot * WORDS + GENERATION, 1n);
  }

  /**
   * Readers miss from now on. Answers the generation that the slot's next content will have.
   * An exchange, not a store: what is written to the slot next must not become visible before this.
   */
  close(slot: number): bigint {
    const generation = this.generation(slot);
    if (generation % 2n === 0n) Atomics.exchange(this.#words, slot * WORDS + GENERATION, generation + 1n);
    return generation + (generation % 2n === 0n ? 2n : 1n);
  }

  /** Readers may read from now on. */
  open(slot: number, generation: bigint, person: KeyWords): void {
    const at = slot * WORDS;
    this.#words[at + PERSON] = person[0];
    this.#words[at + PERSON + 1] = person[1];
    this.#words[at + CHECKSUM] = checksum(generation, person);
    Atomics.store(this.#words, at + GENERATION, generation);
  }

  /** Nothing of a person is left; only for a closed slot. */
  clear(slot: number): void {
    this.#words.fill(0n, slot * WORDS + PERSON, (slot + 1) * WORDS);
  }

  /** More tokens than before, under the same generation. Length last: whoever sees it sees what it counts. */
  setContent(slot: number, { length, sequence, hash }: SlotContent): void {
    const at = slot * WORDS;
    this.#words[at + HASH] = hash;
    Atomics.store(this.#words, at + SEQUENCE, BigInt(sequence));
    Atomics.store(this.#words, at + LENGTH, BigInt(length));
  }

  length(slot: number): number {
    return Number(Atomics.load(this.#words, slot * WORDS + LENGTH));
  }

  sequence(slot: number): bigint {
    return Atomics.load(this.#words, slot * WORDS + SEQUENCE);
  }

  /** Whether the slot is this person's under this generation, its header whole. */
  isOf(slot: number, generation: bigint, person: KeyWords): boolean {
    const at = slot * WORDS;
    const words = this.#words;
    return (
      words[at + PERSON] === person[0] &&
      words[at + PERSON + 1] === person[1] &&
      words[at + CHECKSUM] === checksum(generation, person)
    );
  }
}

/** Of the identity fields: a header that is half of one person's and half of another's does not have it. */
function checksum(generation: bigint, [low, high]: KeyWords): bigint {
  const mixed =
    (generation * 0x9e37_79b9_7f4a_7c15n) ^ (low * 0xbf58_476d_1ce4_e5b9n) ^ (high * 0x94d0_49bb_1331_11ebn);
  return BigInt.asUintN(64, mixed ^ (mixed >> 29n));
}

export function keyWordsOfHex(person: string): KeyWords {
  return keyWordsOfBytes(Buffer.from(person, 'hex'));
}

export function keyWordsOfBytes(person: Uint8Array): KeyWords {
  const view = new DataView(person.buffer, person.byteOffset, person.byteLength);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}

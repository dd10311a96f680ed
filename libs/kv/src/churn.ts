// What the writer and the reader of the churn test agree on.
import type { KvReference } from './index.js';

export const CHURN = {
  shape: { layers: 2, width: 8, capacity: 16 },
  slots: 4,
  persons: 12,
  releaseId: 'r-churn',
  poolId: 'p-churn',
} as const;

export function personOf(index: number): string {
  return index.toString(16).padStart(32, '0');
}

/** What every number of a slot must be: no other person's and no other generation's. Whole and below 2^24, so exact in float32. */
export function stampOf(personKey: string, generation: bigint): number {
  return (Number(generation) * CHURN.persons + Number.parseInt(personKey, 16)) % 2 ** 24;
}

const WORDS = 4;

/** Where the writer tells the reader what it published last in each slot. May be read half-written: then the reader must miss. */
export class Board {
  readonly #words: BigUint64Array;

  constructor(buffer: ArrayBuffer) {
    this.#words = new BigUint64Array(buffer, 0, CHURN.slots * WORDS);
  }

  post({ slot, generation, length, personKey }: KvReference): void {
    const person = BigInt(personKey[15]!);
    this.#words.set([generation, BigInt(length), person], slot * WORDS);
  }

  look(slot: number): KvReference & { readonly person: string } {
    const [generation = 0n, length = 0n, index = 0n] = this.#words.subarray(slot * WORDS, slot * WORDS + 3);
    const person = personOf(Number(index));
    return {
      releaseId: CHURN.releaseId,
      poolId: CHURN.poolId,
      slot,
      generation,
      length: Number(length),
      personKey: Buffer.from(person, 'hex'),
      historySequence: 0n,
      historyHash: 0n,
      person,
    };
  }
}

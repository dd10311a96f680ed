import { join } from 'node:path';
import type { KvReference } from '@onepass/kv';
import { createSharedMemory, openSharedMemory, type SharedMemory } from '@onepass/shared-memory';
import { POOL, personKeyOf, poolIdOf, type Tenancy } from './scored-pool.js';

/** Where the processes of the drill tell each other, in files that outlive them. All numbers are 32 bits. */
const bulletinPath = (folder: string, run: number) => join(folder, `bulletin-${run}`);

/** Operations, refusals and evictions so far are the first three words. */
const TOLD_WORDS = 3;
const APPENDING = 3;
const PUBLISHED = 4;
const ENTRIES_AT = 16;
/** References that are remembered: about as many as persons are held, so that some of them are good and others are not. */
const ENTRIES = 512;
const ENTRY_WORDS = 4;
const BULLETIN_BYTES = 4 * (ENTRIES_AT + ENTRIES * ENTRY_WORDS);

/** What a writer published, and what it has done. An entry may be read half-written: then it must be a miss, or right. */
export class Bulletin {
  readonly run: number;
  readonly #memory: SharedMemory;
  readonly #words: Uint32Array;

  private constructor(run: number, memory: SharedMemory) {
    this.run = run;
    this.#memory = memory;
    this.#words = new Uint32Array(memory.view(0, BULLETIN_BYTES));
  }

  static create(folder: string, run: number): Bulletin {
    const memory = createSharedMemory(bulletinPath(folder, run), BULLETIN_BYTES);
    if (!memory.reserve(0, BULLETIN_BYTES)) throw new Error('there is no space for a bulletin');
    return new Bulletin(run, memory);
  }

  static open(folder: string, run: number): Bulletin {
    return new Bulletin(run, openSharedMemory(bulletinPath(folder, run)));
  }

  post({ slot, length, generation }: KvReference, person: number): void {
    const count = Atomics.load(this.#words, PUBLISHED);
    this.#words.set([slot, length, person, Number(generation)], ENTRIES_AT + (count % ENTRIES) * ENTRY_WORDS);
    Atomics.store(this.#words, PUBLISHED, count + 1);
  }

  /** Of what was published last, one of `share` in [0, 1): 0 is the newest. Undefined while there is none. */
  look(share: number): { reference: KvReference; tenancy: Tenancy } | undefined {
    const count = Atomics.load(this.#words, PUBLISHED);
    if (count === 0) return undefined;
    const entry = (count - 1 - Math.floor(share * Math.min(count, ENTRIES))) % ENTRIES;
    const at = ENTRIES_AT + entry * ENTRY_WORDS;
    const [slot = 0, length = 0, person = 0, generation = 0] = this.#words.subarray(at, at + ENTRY_WORDS);
    const reference = {
      releaseId: POOL.releaseId,
      poolId: poolIdOf(this.run),
      slot,
      generation: BigInt(generation),
      length,
      personKey: Buffer.from(personKeyOf(person), 'hex'),
      historySequence: BigInt(length),
      historyHash: 0n,
    };
    return { reference, tenancy: { run: this.run, person, generation } };
  }

  /** In the middle of an append: tokens are written, and not published. */
  get isAppending(): boolean {
    return Atomics.load(this.#words, APPENDING) === 1;
  }

  set isAppending(is: boolean) {
    Atomics.store(this.#words, APPENDING, is ? 1 : 0);
  }

  tell(operations: number, refusals: number, evictions: number): void {
    this.#words.set([operations, refusals, evictions]);
  }

  get told() {
    const [operations = 0, refusals = 0, evictions = 0] = this.#words.subarray(0, TOLD_WORDS);
    return { operations, refusals, evictions };
  }

  close(): void {
    this.#memory.close();
  }
}

/** What a reader has seen. */
export interface Tally {
  /** Scores made of KV that was the right one still when they were done. */
  verified: number;
  /** Of those, the ones that were not right. */
  wrong: number;
  misses: number;
  /** Of the misses, those whose score would have been wrong. */
  torn: number;
}

const TALLY_BYTES = 64;
const TALLIED = ['verified', 'wrong', 'misses', 'torn'] as const satisfies readonly (keyof Tally)[];

/** A reader's tally, written where its death does not take it. */
export function keepTally(path: string): Tally & { tell(): void } {
  const memory = createSharedMemory(path, TALLY_BYTES);
  if (!memory.reserve(0, TALLY_BYTES)) throw new Error('there is no space for a tally');
  const words = new Uint32Array(memory.view(0, TALLY_BYTES));
  const tally = { verified: 0, wrong: 0, misses: 0, torn: 0 };
  return Object.assign(tally, { tell: () => words.set(TALLIED.map((name) => tally[name])) });
}

export function readTally(path: string): Tally {
  const memory = openSharedMemory(path);
  const words = new Uint32Array(memory.view(0, TALLY_BYTES));
  const [verified = 0, wrong = 0, misses = 0, torn = 0] = words;
  memory.close();
  return { verified, wrong, misses, torn };
}

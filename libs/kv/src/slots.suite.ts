import { beforeEach, describe, expect, test } from 'vitest';
import type { KvReference, KvSlots, SlotState } from './index.js';

/** Every pool of the suites. One page of a slot holds all of it, so that pools count pages alike. */
export const SHAPE = { layers: 2, width: 4, capacity: 8 };
export const RELEASE = 'r-1';
export const REST_MS = 100;

/** A pool wherever its bytes lie, by the verbs that all pools have. */
export interface SlotsUnderTest extends Omit<KvSlots, 'stats'> {
  stats(): object;
  /** Every number of tokens `from` to `to`, in K and V of every layer, is `value`. */
  write(state: SlotState, from: number, to: number, value: number): Promise<void> | void;
  /** What a reader sees, once it has checked the reference: for each of K and V of every layer, [length x width]. */
  read(reference: KvReference): Promise<readonly Float32Array[]> | readonly Float32Array[];
  /** A reader's look after the use. */
  verify(reference: KvReference): void;
  /** Whether the person's key, or two neighbours of this value, lie anywhere in the pool, used or not. */
  holds(person: string, value: number): Promise<boolean> | boolean;
}

export interface SlotsTerms {
  readonly slots: number;
  readonly restMs: number;
  readonly now: () => number;
}

const ANN = 'a'.repeat(32);
const BEA = 'b'.repeat(32);
const CAT = 'c'.repeat(32);

const miss = (reason: string) => expect.objectContaining({ kind: 'kv_miss', message: `KV miss: ${reason}` });

/** What every pool of KV slots must do. For tests only. @param open a pool of `SHAPE` for `RELEASE`, its pool id "p-1" */
export function slotsConformance(
  name: string,
  open: (terms: SlotsTerms) => SlotsUnderTest | Promise<SlotsUnderTest>,
): void {
  let now = 0;
  let pool: SlotsUnderTest;
  /** @throws on a refusal */
  function allocate(person: string, tokens = SHAPE.capacity): SlotState {
    const found = pool.allocate(person, tokens);
    if (typeof found === 'string') throw new Error(found);
    return found;
  }

  async function write(state: SlotState, length: number, value: number): Promise<KvReference> {
    await pool.write(state, state.length, length, value);
    pool.publish(state, { length, sequence: length, hash: 7n });
    return pool.reference(state);
  }

  async function encode(person: string, length: number, value: number): Promise<KvReference> {
    const state = allocate(person);
    const reference = await write(state, length, value);
    pool.release(state);
    return reference;
  }

  const read = async (reference: KvReference) => (await pool.read(reference)).map((tensor) => [...tensor]);
  const reading = (reference: KvReference) => expect((async () => pool.read(reference))()).rejects;
  const all = (...tokens: number[]) =>
    Array<number[]>(2 * SHAPE.layers).fill(tokens.flatMap((value) => Array<number>(SHAPE.width).fill(value)));

  describe(`${name} is a pool of KV slots`, () => {
    beforeEach(async () => {
      now = 0;
      pool = await open({ slots: 2, restMs: REST_MS, now: () => now });
    });

    test('a reader sees the prefix that was meant, and an append disturbs it not', async () => {
      const first = await encode(ANN, 3, 1);
      const state = pool.lookup(ANN)!;
      expect(state).toMatchObject({ length: 3, sequence: 3, hash: 7n });
      expect(await read(first)).toEqual(all(1, 1, 1));
      const second = await write(state, 5, 2);
      pool.verify(first);
      expect(await read(first)).toEqual(all(1, 1, 1));
      expect(second.generation).toBe(first.generation);
      expect(await read(second)).toEqual(all(1, 1, 1, 2, 2));
      expect(await read({ ...second, length: 0 })).toEqual(all());
    });

    test('a slot grows for what is appended to it', async () => {
      const state = allocate(ANN, 2);
      await write(state, 2, 1);
      expect(pool.grow(state, 6)).toBeUndefined();
      const reference = await write(state, 6, 2);
      pool.release(state);
      expect(await read(reference)).toEqual(all(1, 1, 2, 2, 2, 2));
      pool.retire(ANN);
      expect(() => pool.grow(state, 7)).toThrow(miss('the slot was retired while it was written'));
    });

    test('retiring is a miss at once, the run under way included', async () => {
      const reference = await encode(ANN, 2, 1);
      await read(reference);
      pool.retire(ANN);
      expect(() => pool.verify(reference)).toThrow(miss('the slot was used again'));
      await reading(reference).toThrow(miss('the slot was used again'));
      expect(pool.lookup(ANN)).toBeUndefined();
    });

    test('forgetting leaves no byte of a person in the pool, and a reader in the middle of it misses', async () => {
      const old = await encode(ANN, 3, 1.25);
      const fresh = await encode(ANN, 2, 1.25);
      for (const reference of [old, fresh]) await read(reference);
      await pool.forget(ANN);
      for (const reference of [old, fresh]) {
        expect(() => pool.verify(reference)).toThrow(miss('the slot was used again'));
        await reading(reference).toThrow(miss('the slot was used again'));
      }
      expect(await pool.holds(ANN, 1.25)).toBe(false);
      expect(pool.stats()).toMatchObject({ slots: { held: 0, resting: 2 } });
      await pool.forget(ANN);
      await pool.forget(BEA);
      // Nor once what they held is another person's, however short, or rests after an eviction.
      now = REST_MS;
      await encode(ANN, 8, 1.25);
      await encode(BEA, 1, 2.5);
      await encode(CAT, 1, 3.5);
      expect(pool.lookup(ANN)).toBeUndefined();
      await pool.forget(ANN);
      expect(await pool.holds(ANN, 1.25)).toBe(false);
      expect(await pool.holds(CAT, 3.5)).toBe(true);
    });

    test('what another person left is not behind the tokens of the next one', async () => {
      await encode(ANN, 8, 1.25);
      await encode(BEA, 8, 1.5);
      now = REST_MS;
      await encode(CAT, 1, 3.5);
      expect(await pool.holds(ANN, 1.25)).toBe(false);
      expect(await pool.holds(BEA, 1.5)).toBe(true);
    });

    test('a re-encode leaves readers of the old KV in peace while it rests', async () => {
      const old = await encode(ANN, 2, 1);
      const fresh = await encode(ANN, 1, 2);
      expect(fresh.slot).not.toBe(old.slot);
      expect(await read(old)).toEqual(all(1, 1));
      expect(allocate(BEA).slot).toBe(fresh.slot);
      now = REST_MS;
      expect(allocate(CAT).slot).toBe(old.slot);
      await reading(old).toThrow(miss('the slot was used again'));
    });

    test('a freed slot rests; the person used longest ago is evicted, never one at work', async () => {
      await encode(ANN, 1, 1);
      await encode(BEA, 1, 2);
      pool.retire(BEA);
      expect(pool.stats()).toMatchObject({ slots: { held: 1, resting: 1 } });
      const ann = pool.lookup(ANN)!;
      pool.lease(ann);
      expect(pool.allocate(CAT, SHAPE.capacity)).toBe('no_slot');
      expect(pool.lookup(ANN)).toBe(ann);
      pool.release(ann);
      expect(allocate(CAT).slot).toBe(ann.slot);
      expect(pool.lookup(ANN)).toBeUndefined();
      expect(pool.stats()).toMatchObject({
        slots: { free: 0, filling: 1, held: 0, resting: 1 },
        leased: 1,
        allocations: 3,
        evictions: 1,
        earlyEvictions: 1,
        refusals: 1,
      });
    });

    test('a slot retired under its writer is not published, and an allocation never published ends', () => {
      const state = allocate(ANN);
      expect(pool.lookup(ANN)).toBeUndefined();
      pool.retire(ANN);
      expect(() => pool.publish(state, { length: 1, sequence: 1, hash: 0n })).toThrow(
        miss('the slot was retired while it was written'),
      );
      pool.release(state);
      const other = allocate(BEA);
      pool.release(other);
      expect(pool.stats()).toMatchObject({ slots: { held: 0, resting: 2 }, leased: 0 });
      expect(() => pool.release(other)).toThrow('once too often');
    });

    test('publishing less than before or more than fits is refused', async () => {
      const state = allocate(ANN);
      await write(state, 4, 1);
      for (const length of [3, SHAPE.capacity + 1]) {
        expect(() => pool.publish(state, { length, sequence: length, hash: 0n })).toThrow('KV cannot be published');
      }
    });

    test.each<[string, Partial<KvReference>, string]>([
      ['another pool', { poolId: 'p-2' }, 'it is of another pool'],
      ['no such slot', { slot: 2 }, 'the pool has no such slot'],
      ['a length beyond the capacity', { length: 9 }, 'the pool has no such slot'],
      ['another generation', { generation: 4n }, 'the slot was used again'],
      ['a generation in change', { generation: 1n }, 'the slot was used again'],
      ['another person', { personKey: Buffer.from(BEA, 'hex') }, 'the slot is of another person'],
      ['a key of another size', { personKey: new Uint8Array(3) }, 'a person key has 16 bytes'],
      ['more tokens than there are', { length: 3 }, 'the slot holds less than was meant'],
      ['a later history', { historySequence: 3n }, 'the slot holds less than was meant'],
    ])('a reference to %s is a miss', async (_, change, reason) => {
      await reading({ ...(await encode(ANN, 2, 1)), ...change }).toThrow(miss(reason));
    });

    test('another release is refused, never a miss', async () => {
      await reading({ ...(await encode(ANN, 2, 1)), releaseId: 'r-2' }).toThrow(
        'the KV is of release "r-2", this server serves "r-1"',
      );
    });
  });
}

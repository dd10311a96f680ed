import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OnepassError } from '@onepass/errors';
import { createSharedMemory, openSharedMemory, type SharedMemory } from '@onepass/shared-memory';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { KvPoolReader, KvPoolWriter, type KvReference, type KvTensors, kvBytes, poolBytes } from './index.js';

const shape = { layers: 1, width: 256, capacity: 16 };
const SLOTS = 6;
const BYTES = 3 * kvBytes(shape, shape.capacity);
const REST_MS = 1_000;
const releaseId = 'r-clock';
const directory = mkdtempSync('/dev/shm/onepass-clock-');
afterAll(() => rmSync(directory, { recursive: true }));

const person = fc.nat(7).map((digit) => `${digit}`.repeat(32));
const tokens = fc.integer({ min: 1, max: shape.capacity });
const operation = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('encode' as const), person, tokens }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('append' as const), person, tokens }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retire' as const), person }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('beginReads' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('endReads' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('jump' as const), ms: fc.integer({ min: -5_000, max: 5_000 }) }),
  },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** A pool whose clock goes where it likes. */
class Jumping {
  #now = 0;
  readonly #memories: SharedMemory[];
  readonly #writer: KvPoolWriter;
  readonly #reader: KvPoolReader;
  readonly #given: { reference: KvReference; stamp: number }[] = [];
  #reads: { reference: KvReference; stamp: number; tensors: KvTensors }[] = [];
  readonly #stamps = new Map<string, number>();
  #stamp = 0;

  constructor() {
    const path = join(directory, 'kv.pool');
    const memory = createSharedMemory(path, poolBytes(shape, SLOTS), BYTES);
    const now = () => this.#now;
    const options = { shape, slots: SLOTS, bytes: BYTES, releaseId, poolId: 'p', restMs: REST_MS, now };
    this.#writer = KvPoolWriter.create(memory, options);
    const mapped = openSharedMemory(path);
    this.#reader = KvPoolReader.open(mapped, { shape, releaseId });
    this.#memories = [memory, mapped];
  }

  apply(op: Operation): void {
    if (op.kind === 'encode') this.#encode(op.person, op.tokens);
    else if (op.kind === 'append') this.#append(op.person, op.tokens);
    else if (op.kind === 'retire') this.#writer.retire(op.person);
    else if (op.kind === 'beginReads') this.#beginReads();
    else if (op.kind === 'endReads') this.#endReads();
    else this.#now += op.ms;
    const { slots, bytes } = this.#writer.stats();
    expect(bytes).toBeLessThanOrEqual(BYTES);
    expect(slots.free + slots.filling + slots.held + slots.resting).toBe(SLOTS);
  }

  /** Whatever the clock has done, somebody new is taken in once it has stood ahead of all of it for a rest. */
  end(): void {
    this.#beginReads();
    this.#now = 1_000_000;
    this.#endReads();
    expect(typeof this.#writer.allocate('f'.repeat(32), shape.capacity)).toBe('object');
    for (const memory of this.#memories) memory.close();
  }

  #encode(person: string, length: number): void {
    const state = this.#writer.allocate(person, length);
    if (typeof state === 'string') return;
    this.#stamps.set(person, ++this.#stamp);
    this.#write(state, 0, length);
    this.#writer.release(state);
  }

  #append(person: string, length: number): void {
    const state = this.#writer.lookup(person);
    if (state === undefined || length <= state.length) return;
    this.#writer.lease(state);
    if (this.#writer.grow(state, length) === undefined) this.#write(state, state.length, length);
    this.#writer.release(state);
  }

  #write(state: Exclude<ReturnType<KvPoolWriter['allocate']>, string>, from: number, length: number): void {
    const stamp = this.#stamps.get(state.personKey)!;
    const { keys, values } = this.#writer.tensors(state);
    for (const tensor of [...keys, ...values]) tensor.fill(stamp, from * shape.width, length * shape.width);
    this.#writer.publish(state, { length, sequence: length, hash: 0n });
    this.#given.push({ reference: this.#writer.reference(state), stamp });
  }

  #beginReads(): void {
    for (const { reference, stamp } of this.#given) {
      const tensors = unlessMiss(() => this.#reader.read(reference));
      if (tensors) this.#reads.push({ reference, stamp, tensors });
    }
  }

  /** What was read when much may have happened meanwhile: right, or a miss. */
  #endReads(): void {
    for (const { reference, stamp, tensors } of this.#reads) {
      const isRight = [...tensors.keys, ...tensors.values].every((tensor) => tensor.every((x) => x === stamp));
      const isVerified = unlessMiss(() => {
        this.#reader.verify(reference);
        return true;
      });
      if (isVerified) expect(isRight).toBe(true);
    }
    this.#reads = [];
  }
}

function unlessMiss<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof OnepassError && error.kind === 'kv_miss') return undefined;
    throw error;
  }
}

test('a clock that steps back or ahead makes no read wrong, breaks no count and locks nobody out for good', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const pool = new Jumping();
      for (const op of operations) pool.apply(op);
      pool.end();
    }),
    { seed: 13, numRuns: 200 },
  );
});

import { unsharedMemory } from '@onepass/shared-memory';
import { beforeEach, expect, test } from 'vitest';
import {
  type KvPoolOptions,
  KvPoolReader,
  KvPoolWriter,
  type KvReference,
  poolBytes,
  type SlotState,
} from './index.js';

const shape = { layers: 2, width: 4, capacity: 8 };
const expected = { shape, releaseId: 'r-1' };
const ANN = 'a'.repeat(32);
const BEA = 'b'.repeat(32);
const CAT = 'c'.repeat(32);
let now = 0;
const options: KvPoolOptions = { shape, slots: 2, releaseId: 'r-1', poolId: 'p-1', restMs: 100, now: () => now };
const memory = unsharedMemory(poolBytes(shape, 2));
let writer: KvPoolWriter;
let reader: KvPoolReader;

beforeEach(() => {
  now = 0;
  writer = KvPoolWriter.create(memory, options);
  reader = KvPoolReader.open(memory, expected);
});

const FULL = shape.capacity;
const ONE_PAGE_OF_ALL = 2 * shape.layers * 4096;

/** @throws on a refusal */
function allocate(person: string, tokens = FULL): SlotState {
  const found = writer.allocate(person, tokens);
  if (typeof found === 'string') throw new Error(found);
  return found;
}

function write(state: SlotState, length: number, value: number): KvReference {
  const { keys, values } = writer.tensors(state);
  for (const tensor of [...keys, ...values]) tensor.fill(value, state.length * shape.width, length * shape.width);
  writer.publish(state, { length, sequence: length, hash: 7n });
  return writer.reference(state);
}

function encode(person: string, length: number, value: number): KvReference {
  const state = allocate(person);
  const reference = write(state, length, value);
  writer.release(state);
  return reference;
}

const miss = (reason: string) => expect.objectContaining({ kind: 'kv_miss', message: `KV miss: ${reason}` });
const reading = (reference: KvReference) => () => reader.read(reference);

test('a reader sees the prefix that was meant, in place, and an append disturbs it not', () => {
  const first = encode(ANN, 3, 1);
  const state = writer.lookup(ANN)!;
  expect(state).toMatchObject({ length: 3, sequence: 3, hash: 7n });
  const { keys, values } = reader.read(first);
  expect(keys.map((k) => [...k])).toEqual([Array(12).fill(1), Array(12).fill(1)]);
  expect(values[1]!.byteOffset % 64).toBe(0);
  const second = write(state, 5, 2);
  reader.verify(first);
  expect([...keys[0]!]).toEqual(Array(12).fill(1));
  expect(second.generation).toBe(first.generation);
  expect([...reader.read(second).values[0]!]).toEqual([...Array(12).fill(1), ...Array(8).fill(2)]);
  expect(reader.read({ ...second, length: 0 }).keys[0]!.length).toBe(0);
});

test('retiring is a miss at once, the run under way included', () => {
  const reference = encode(ANN, 2, 1);
  reader.read(reference);
  writer.retire(ANN);
  expect(() => reader.verify(reference)).toThrow(miss('the slot was used again'));
  expect(reading(reference)).toThrow(miss('the slot was used again'));
  expect(writer.lookup(ANN)).toBeUndefined();
});

test('forgetting leaves no byte of a person in the pool, and a reader in the middle of it misses', () => {
  const bytes = Buffer.from(memory.view(0, memory.bytes));
  const holds = (person: string, value: number) =>
    bytes.includes(Buffer.from(person, 'hex')) || bytes.includes(Buffer.from(Float32Array.of(value, value).buffer));
  const old = encode(ANN, 3, 1.25);
  const fresh = encode(ANN, 2, 1.25);
  for (const reference of [old, fresh]) reader.read(reference);
  writer.forget(ANN);
  for (const reference of [old, fresh]) {
    expect(() => reader.verify(reference)).toThrow(miss('the slot was used again'));
    expect(reading(reference)).toThrow(miss('the slot was used again'));
  }
  expect(holds(ANN, 1.25)).toBe(false);
  expect(writer.stats().slots).toMatchObject({ held: 0, resting: 2 });
  writer.forget(ANN);
  writer.forget(BEA);
  // What was evicted is gone once the slot is another person's, however short.
  now = 100;
  encode(ANN, 8, 1.25);
  encode(BEA, 1, 2.5);
  encode(CAT, 1, 3.5);
  expect(writer.lookup(ANN)).toBeUndefined();
  expect(holds(ANN, 1.25)).toBe(false);
  expect(holds(CAT, 3.5)).toBe(true);
});

test('a re-encode leaves readers of the old KV in peace while it rests', () => {
  const old = encode(ANN, 2, 1);
  const fresh = encode(ANN, 1, 2);
  expect(fresh.slot).not.toBe(old.slot);
  expect([...reader.read(old).keys[0]!]).toEqual(Array(8).fill(1));
  expect(allocate(BEA).slot).toBe(fresh.slot);
  now = 100;
  expect(allocate(CAT).slot).toBe(old.slot);
  expect(reading(old)).toThrow(miss('the slot was used again'));
});

test('a freed slot rests; the person used longest ago is evicted, never one at work', () => {
  encode(ANN, 1, 1);
  encode(BEA, 1, 2);
  writer.retire(BEA);
  expect(writer.stats().slots).toMatchObject({ held: 1, resting: 1 });
  const ann = writer.lookup(ANN)!;
  writer.lease(ann);
  expect(writer.allocate(CAT, FULL)).toBe('no_slot');
  expect(writer.lookup(ANN)).toBe(ann);
  writer.release(ann);
  expect(allocate(CAT).slot).toBe(ann.slot);
  expect(writer.lookup(ANN)).toBeUndefined();
  expect(writer.stats()).toEqual({
    slots: { free: 0, filling: 1, held: 0, resting: 1 },
    leased: 1,
    bytes: 2 * ONE_PAGE_OF_ALL,
    bytesLimit: 2 * ONE_PAGE_OF_ALL,
    allocations: 3,
    evictions: 1,
    earlyEvictions: 1,
    refusals: 1,
  });
});

test('a slot retired under its writer is not published, and an allocation never published ends', () => {
  const state = allocate(ANN);
  expect(writer.lookup(ANN)).toBeUndefined();
  writer.retire(ANN);
  expect(() => writer.publish(state, { length: 1, sequence: 1, hash: 0n })).toThrow(
    miss('the slot was retired while it was written'),
  );
  writer.release(state);
  const other = allocate(BEA);
  writer.release(other);
  expect(writer.stats()).toMatchObject({ slots: { held: 0, resting: 2 }, leased: 0 });
  expect(() => writer.release(other)).toThrow('once too often');
});

test('publishing less than before or more than fits is refused', () => {
  const state = allocate(ANN);
  write(state, 4, 1);
  expect(() => write(state, 3, 1)).toThrow('KV cannot be published');
  expect(() => writer.publish(state, { length: 9, sequence: 9, hash: 0n })).toThrow('KV cannot be published');
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
])('a reference to %s is a miss', (_, change, reason) => {
  expect(reading({ ...encode(ANN, 2, 1), ...change })).toThrow(miss(reason));
});

test('another release is refused, never a miss', () => {
  expect(reading({ ...encode(ANN, 2, 1), releaseId: 'r-2' })).toThrow(
    'the KV is of release "r-2", this server serves "r-1"',
  );
  expect(() => KvPoolReader.open(memory, { shape, releaseId: 'r-2' })).toThrow('the KV pool is of release "r-1"');
});

test('a header that is torn is a miss', () => {
  const reference = encode(ANN, 2, 1);
  const words = new BigUint64Array(memory.view(0, memory.bytes), 4096 + reference.slot * 128, 16);
  words[6]! ^= 1n;
  expect(reading(reference)).toThrow(miss('the slot is of another person'));
});

test('a writer that starts again makes every earlier reference miss', () => {
  const reference = encode(ANN, 2, 1);
  writer = KvPoolWriter.create(memory, { ...options, poolId: 'p-2' });
  expect(() => reader.verify(reference)).toThrow('KV miss');
  const again = encode(ANN, 2, 2);
  expect(again.generation).toBe(reference.generation);
  expect(reading(reference)).toThrow(miss('the pool was made anew'));
  expect(reading(again)).toThrow(miss('it is of another pool'));
  reader = KvPoolReader.open(memory, expected);
  expect(reader.poolId).toBe('p-2');
  expect(reading(reference)).toThrow(miss('it is of another pool'));
  expect([...reader.read(again).keys[0]!]).toEqual(Array(8).fill(2));
});

test('a pool that is not there, of another shape or cut short is a clear error', () => {
  expect(() => KvPoolReader.open(unsharedMemory(8192), expected)).toThrow('the KV pool is not ready');
  expect(() => KvPoolReader.open(unsharedMemory(16), expected)).toThrow('the KV pool is not ready');
  expect(() => KvPoolReader.open(memory, { ...expected, shape: { ...shape, layers: 3 } })).toThrow(
    'the KV pool holds 2 layers of 4 numbers for 8 tokens, the release wants 3 of 4 for 8',
  );
  const short = unsharedMemory(4096);
  new Uint8Array(short.view(0, 4096)).set(new Uint8Array(memory.view(0, 4096)));
  expect(() => KvPoolReader.open(short, expected)).toThrow(/the KV pool has 4096 of its \d+ bytes/);
  expect(() => KvPoolWriter.create(unsharedMemory(4096), options)).toThrow(/takes \d+ bytes, the memory has 4096/);
  expect(() => poolBytes({ ...shape, width: 0 }, 2)).toThrow('a KV pool with 0 width cannot be made');
});

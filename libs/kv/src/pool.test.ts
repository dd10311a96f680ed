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
import { sharedSlots } from './shared-slots.suite.js';
import { slotsConformance } from './slots.suite.js';

const shape = { layers: 2, width: 4, capacity: 8 };
const expected = { shape, releaseId: 'r-1' };
const ANN = 'a'.repeat(32);
const options: KvPoolOptions = { shape, slots: 2, releaseId: 'r-1', poolId: 'p-1', restMs: 100, now: () => 0 };
const memory = unsharedMemory(poolBytes(shape, 2));
let writer: KvPoolWriter;
let reader: KvPoolReader;

beforeEach(() => {
  writer = KvPoolWriter.create(memory, options);
  reader = KvPoolReader.open(memory, expected);
});

const FULL = shape.capacity;

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

slotsConformance('shared memory', sharedSlots);

test('tensors are read in place, on cache lines, and an append disturbs them not', () => {
  const first = encode(ANN, 3, 1);
  const { keys, values } = reader.read(first);
  expect(values[1]!.byteOffset % 64).toBe(0);
  write(writer.lookup(ANN)!, 5, 2);
  reader.verify(first);
  expect([...keys[0]!]).toEqual(Array(12).fill(1));
});

test('memory is counted in bytes', () => {
  const page = 2 * shape.layers * 4096;
  expect(writer.stats()).toMatchObject({ bytes: 0, bytesLimit: 2 * page });
  encode(ANN, 1, 1);
  expect(writer.stats()).toMatchObject({ bytes: page, bytesLimit: 2 * page });
});

test('a reader expects the pool of its release', () => {
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

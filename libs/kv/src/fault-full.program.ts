// A pool on a file system that has no space left, and a reader of it in the same process: whichever touches a page that is not to be had ends here.
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { OnepassError } from '@onepass/errors';
import { createSharedMemory, openSharedMemory } from '@onepass/shared-memory';
import { FULL } from './fault-full.suite.js';
import { KvPoolReader, KvPoolWriter, type KvReference, poolBytes, type SlotState } from './index.js';

const [folder = ''] = process.argv.slice(2);
const { shape, slots, bytes, releaseId, restMs, tokens } = FULL;
const path = join(folder, 'kv.pool');
const filler = join(folder, 'filler');
let now = 0;
const memory = createSharedMemory(path, poolBytes(shape, slots), bytes);
const writer = KvPoolWriter.create(memory, { shape, slots, bytes, releaseId, poolId: 'p', restMs, now: () => now });
const reader = KvPoolReader.open(openSharedMemory(path), { shape, releaseId });
const references: KvReference[] = [];
const seen: Record<string, unknown> = {};

const keyOf = (person: number) => person.toString(16).padStart(32, '0');
const stampOf = ({ personKey }: KvReference) => 1 + personKey[15]!;

function write(state: SlotState, length: number): void {
  const { keys, values } = writer.tensors(state);
  const stamp = 1 + Number.parseInt(state.personKey, 16);
  for (const tensor of [...keys, ...values]) tensor.fill(stamp, state.length * shape.width, length * shape.width);
  writer.publish(state, { length, sequence: length, hash: 0n });
  references.push(writer.reference(state));
}

/** @returns the refusal, if it is one */
function encode(person: number, length: number): string | undefined {
  const state = writer.allocate(keyOf(person), length);
  if (typeof state === 'string') return state;
  write(state, length);
  writer.release(state);
  return undefined;
}

function append(person: number, length: number): string | undefined {
  const state = writer.lookup(keyOf(person))!;
  writer.lease(state);
  const refusal = writer.grow(state, length);
  if (refusal === undefined) write(state, length);
  writer.release(state);
  return refusal;
}

/** Leaves not a byte. */
function fill(): void {
  const fd = openSync(filler, 'w');
  for (const size of [1 << 16, 1 << 12]) {
    try {
      for (;;) writeSync(fd, Buffer.alloc(size, 1));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
  closeSync(fd);
}

/** Every reference ever given: reads that are in the middle of it while `meanwhile` happens, or begin after it. */
function readAll(meanwhile = () => {}) {
  const counts = { right: 0, missed: 0, wrong: 0 };
  const begun = references.map((reference) => ({ reference, tensors: attempt(() => reader.read(reference)) }));
  meanwhile();
  for (const { reference, tensors } of begun) {
    const isRight =
      tensors && [...tensors.keys, ...tensors.values].every((t) => t.every((x) => x === stampOf(reference)));
    const isVerified = tensors && attempt(() => verified(reference));
    counts[isVerified ? (isRight ? 'right' : 'wrong') : 'missed']++;
  }
  return counts;
}

function verified(reference: KvReference): true {
  reader.verify(reference);
  return true;
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof OnepassError && error.kind === 'kv_miss') return undefined;
    throw error;
  }
}

// Below the pool's own limit.
for (let person = 0; person < 4; person++) encode(person, tokens - 2);
fill();
seen.allocateBelow = encode(4, 2 * tokens);
seen.growBelow = append(0, 2 * tokens);
seen.withinItsPages = append(1, tokens);
seen.heldBelow = writer.stats().slots.held;
seen.readBelow = readAll();
now += restMs;
seen.allocateRested = encode(4, 2 * tokens);
seen.heldRested = writer.stats().slots.held;
rmSync(filler);
seen.allocateWithSpace = encode(5, tokens);
seen.growWithSpace = append(5, 2 * tokens);

// All of the pool is in use, and all of it may be being read; not a page is left beside it.
for (let person = 6; writer.stats().bytes < bytes; person++) encode(person, tokens);
fill();
for (let person = 0; person < slots; person++) writer.lookup(keyOf(person));
seen.held = writer.stats().slots.held;
seen.readInPlace = readAll(() => {
  seen.inPlace = encode(100, tokens);
  seen.tooLong = encode(101, shape.capacity);
  seen.growRead = append(100, 2 * tokens);
});
now += restMs;
seen.readRested = readAll();
seen.tooLongRested = encode(101, shape.capacity);
seen.growRested = append(101, shape.capacity);
seen.afterRest = encode(102, tokens);
rmSync(filler);
seen.withSpace = encode(103, tokens);
seen.readAtLast = readAll();
console.log(JSON.stringify(seen));

import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { OnepassError } from '@onepass/errors';
import { createSharedMemory, openSharedMemory } from '@onepass/shared-memory';
import { afterAll, expect, test } from 'vitest';
import { ANN, FAULTS, writeTokens, wrongToken } from './fault-stamps.js';
import { KvPoolReader, KvPoolWriter, type KvReference, poolBytes, type SlotState } from './index.js';
import { PAGE_BYTES, SLOT_HEADER_BYTES } from './layout.js';

const { shape, slots, releaseId } = FAULTS;
const directory = mkdtempSync('/dev/shm/onepass-flipped-');
const path = join(directory, 'kv.pool');
afterAll(() => rmSync(directory, { recursive: true }));

const LENGTH = 20;
/** Of the header's words of 64 bits: generation and person, and the checksum over them. */
const IDENTITY = [0, 1, 2, 6];

/** Encodes the person anew so many times, in the one slot that is not at rest. @returns every reference */
function encodeAgain(writer: KvPoolWriter, times: number): KvReference[] {
  return Array.from({ length: times }, () => {
    const state = writer.allocate(ANN, shape.capacity) as SlotState;
    writeTokens(writer.tensors(state), 0, LENGTH);
    writer.publish(state, { length: LENGTH, sequence: LENGTH, hash: 5n });
    writer.release(state);
    return writer.reference(state);
  });
}

test('whichever bit of a slot header flips: of its identity, every read is a miss; of the rest, a miss or right', () => {
  const memory = createSharedMemory(path, poolBytes(shape, slots));
  const writer = KvPoolWriter.create(memory, { shape, slots, releaseId, poolId: 'p', restMs: 0, now: () => 0 });
  const references = encodeAgain(writer, 6);
  const now = references.at(-1)!;
  const stale = references.filter(({ slot, generation }) => slot === now.slot && generation !== now.generation);
  expect(stale.length).toBeGreaterThan(0);
  const reader = KvPoolReader.open(openSharedMemory(path), { shape, releaseId });
  const fd = openSync(path, 'r+');
  const at = PAGE_BYTES + now.slot * SLOT_HEADER_BYTES;
  const byte = new Uint8Array(1);
  const wasRead: number[] = [];
  for (let bit = 0; bit < 8 * SLOT_HEADER_BYTES; bit++) {
    const flip = () => {
      readSync(fd, byte, 0, 1, at + (bit >> 3));
      byte[0]! ^= 1 << (bit & 7);
      writeSync(fd, byte, 0, 1, at + (bit >> 3));
    };
    flip();
    if (isRight(reader, now)) wasRead.push(bit);
    for (const reference of stale) expect(isRight(reader, reference), `a stale generation at bit ${bit}`).toBe(false);
    flip();
  }
  closeSync(fd);
  expect(wasRead.filter((bit) => IDENTITY.includes(bit >> 6))).toEqual([]);
  expect(isRight(reader, now)).toBe(true);
});

/** False: a miss. */
function isRight(reader: KvPoolReader, reference: KvReference): boolean {
  try {
    const tensors = reader.read(reference);
    expect(wrongToken(tensors)).toBeUndefined();
    expect(tensors.keys[0]).toHaveLength(reference.length * shape.width);
    reader.verify(reference);
    return true;
  } catch (error) {
    if (error instanceof OnepassError && error.kind === 'kv_miss') return false;
    throw error;
  }
}

import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { createSharedMemory, openSharedMemory } from '@onepass/shared-memory';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ANN, FAULTS, writeTokens, wrongToken } from './fault-stamps.js';
import { killInAppend } from './fault-writer.suite.js';
import { KvPoolReader, KvPoolWriter, type KvReference, poolBytes } from './index.js';

const { shape, slots, releaseId } = FAULTS;
const directory = mkdtempSync('/dev/shm/onepass-fault-');
const path = join(directory, 'kv.pool');
const PUBLISHED = 17;
const WRITTEN = 50;
const FIELDS = 16;
let program: BundledProgram;
/** What the writer that was killed had given out. */
let old: KvReference;

beforeAll(async () => {
  program = await bundleProgram(new URL('./fault-writer.program.ts', import.meta.url));
});
afterAll(() => {
  program.remove();
  rmSync(directory, { recursive: true });
});
beforeEach(async () => {
  old = await killInAppend(program.path, { path, poolId: 'p-old', published: PUBLISHED, written: WRITTEN });
});

const openReader = () => KvPoolReader.open(openSharedMemory(path), { shape, releaseId });
const miss = (reason: string) => expect.objectContaining({ kind: 'kv_miss', message: `KV miss: ${reason}` });

/** As a user-encoder that starts, whatever lies there. @returns what it publishes */
function startAgain(poolId: string): KvReference {
  const memory = createSharedMemory(path, poolBytes(shape, slots));
  const writer = KvPoolWriter.create(memory, { shape, slots, releaseId, poolId, restMs: 1_000, now: () => 0 });
  const state = writer.allocate(ANN, PUBLISHED);
  if (typeof state === 'string') throw new Error(state);
  writeTokens(writer.tensors(state), 0, PUBLISHED);
  writer.publish(state, { length: PUBLISHED, sequence: PUBLISHED, hash: 1n });
  return writer.reference(state);
}

test('of a writer killed in mid-append readers have what it had published, until there is a new pool', () => {
  const reader = openReader();
  const tensors = reader.read(old);
  expect(tensors.keys[0]).toHaveLength(PUBLISHED * shape.width);
  expect(wrongToken(tensors)).toBeUndefined();
  reader.verify(old);
  expect(() => reader.read({ ...old, length: PUBLISHED + 1 })).toThrow(miss('the slot holds less than was meant'));

  const fresh = startAgain('p-new');
  // Who has the old file mapped still has what was published there; who looks at the path finds the new pool.
  expect(wrongToken(reader.read(old))).toBeUndefined();
  reader.verify(old);
  expect(() => reader.read(fresh)).toThrow(miss('it is of another pool'));
  const again = openReader();
  expect(() => again.read(old)).toThrow(miss('it is of another pool'));
  expect(wrongToken(again.read(fresh))).toBeUndefined();
});

test('a pool of an earlier writer under the same id would still miss: the slots of a new pool begin closed', () => {
  const fresh = startAgain(old.poolId);
  expect(fresh.slot).toBe(old.slot);
  const reader = openReader();
  for (const generation of [old.generation + 2n, old.generation + 1n, old.generation - 2n]) {
    expect(() => reader.read({ ...old, generation })).toThrow(miss('the slot was used again'));
  }
});

function overwrite(at: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

const LEFT: Readonly<Record<string, { leave(): void; says: string | RegExp; kind: string }>> = {
  'of another layout version': {
    leave: () => overwrite(FIELDS, Uint8Array.of(99)),
    says: 'the KV pool has layout version 99, this build reads 2',
    kind: 'startup',
  },
  'cut off within its slots': {
    leave: () => truncateSync(path, 8192),
    says: /^the KV pool has 8192 of its \d+ bytes$/,
    kind: 'startup',
  },
  'cut off within its header': {
    leave: () => truncateSync(path, 100),
    says: 'the KV pool is not ready: its writer has not finished making it',
    kind: 'unavailable',
  },
  empty: { leave: () => truncateSync(path, 0), says: /is not ready: it has no size yet$/, kind: 'unavailable' },
  'of another release': {
    leave: () => overwrite(65, Buffer.from('R')),
    says: /^the KV pool is of release "R-faults"/,
    kind: 'release_mismatch',
  },
  'half-written: all of its header but the magic': {
    leave: () => overwrite(0, new Uint8Array(8)),
    says: 'the KV pool is not ready: its writer has not finished making it',
    kind: 'unavailable',
  },
  'half-written: the magic without the rest': {
    leave: () => overwrite(8, new Uint8Array(4088)),
    says: 'the KV pool has layout version 0, this build reads 2',
    kind: 'startup',
  },
  'of another shape': {
    leave: () => overwrite(FIELDS + 4, Uint8Array.of(3)),
    says: /^the KV pool holds 3 layers of 64 numbers for 64 tokens, the release wants 2/,
    kind: 'startup',
  },
  'of no shape at all': {
    leave: () => overwrite(FIELDS + 4, new Uint8Array(16)),
    says: 'a KV pool with 0 layers cannot be made',
    kind: 'startup',
  },
  'no pool but some text': {
    leave: () => writeFileSync(path, 'KV '.repeat(4_000)),
    says: 'the KV pool is not ready: its writer has not finished making it',
    kind: 'unavailable',
  },
};

test.each(Object.entries(LEFT))('a file left behind %s is refused, and the next writer makes a new one', (_, left) => {
  left.leave();
  let thrown: unknown;
  try {
    openReader();
  } catch (error) {
    thrown = error;
  }
  const message = typeof left.says === 'string' ? left.says : expect.stringMatching(left.says);
  expect(thrown).toMatchObject({ kind: left.kind, message });

  const fresh = startAgain('p-new');
  const reader = openReader();
  expect(wrongToken(reader.read(fresh))).toBeUndefined();
  expect(() => reader.read(old)).toThrow(miss('it is of another pool'));
  expect(readFileSync(path).includes('p-old')).toBe(false);
});

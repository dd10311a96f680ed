import { startupError } from '@onepass/errors';
import { type PoolLayout, poolLayout } from './layout.js';

// "ONEPASSK" as little-endian bytes. Written last: a pool without it is not ready.
const MAGIC = 0x4b53_5341_5045_4e4fn;
const VERSION = 2;
const MAX_ID_BYTES = 128;
// Offsets in the page; the epoch is the word after the magic.
const FIELDS = 16;
const RELEASE_ID = 64;
const POOL_ID = 256;

/** Who made a pool and for which release. */
export interface PoolIdentity {
  readonly releaseId: string;
  /** New at each start of the writer. */
  readonly poolId: string;
}

/** Makes what memory held before, if anything, unreadable: readers of an earlier pool here miss from now on. */
export function unmakePool(buffer: ArrayBuffer): void {
  const words = new BigUint64Array(buffer, 0, 2);
  Atomics.store(words, 0, 0n);
  Atomics.add(words, 1, 1n);
}

/** The pool is ready for readers once this returns. */
export function writePoolHeader(buffer: ArrayBuffer, layout: PoolLayout, identity: PoolIdentity): void {
  const { layers, width, capacity } = layout.shape;
  new Uint32Array(buffer, FIELDS, 5).set([VERSION, layers, width, capacity, layout.slots]);
  writeId(buffer, RELEASE_ID, identity.releaseId);
  writeId(buffer, POOL_ID, identity.poolId);
  Atomics.store(new BigUint64Array(buffer, 0, 1), 0, MAGIC);
}

/** What a header says; undefined when there is no pool (yet). */
export function readPoolHeader(
  buffer: ArrayBuffer,
): { layout: PoolLayout; identity: PoolIdentity; epoch: bigint } | undefined {
  const words = new BigUint64Array(buffer, 0, 2);
  if (Atomics.load(words, 0) !== MAGIC) return undefined;
  const epoch = poolEpoch(buffer);
  const [version = 0, layers = 0, width = 0, capacity = 0, slots = 0] = new Uint32Array(buffer, FIELDS, 5);
  if (version !== VERSION) throw startupError(`the KV pool has layout version ${version}, this build reads ${VERSION}`);
  const identity = { releaseId: readId(buffer, RELEASE_ID), poolId: readId(buffer, POOL_ID) };
  // Made anew while it was read.
  if (poolEpoch(buffer) !== epoch) return undefined;
  return { layout: poolLayout({ layers, width, capacity }, slots), identity, epoch };
}

/** Changes whenever a pool is made in this memory. */
export function poolEpoch(buffer: ArrayBuffer): bigint {
  return Atomics.load(new BigUint64Array(buffer, 0, 2), 1);
}

function writeId(buffer: ArrayBuffer, at: number, id: string): void {
  const bytes = Buffer.from(id);
  if (bytes.length === 0 || bytes.length > MAX_ID_BYTES)
    throw startupError(`"${id}" cannot name a KV pool: 1 to ${MAX_ID_BYTES} bytes`);
  const target = new Uint8Array(buffer, at, 1 + MAX_ID_BYTES).fill(0);
  target[0] = bytes.length;
  target.set(bytes, 1);
}

function readId(buffer: ArrayBuffer, at: number): string {
  const bytes = new Uint8Array(buffer, at, 1 + MAX_ID_BYTES);
  return Buffer.from(bytes.subarray(1, 1 + bytes[0]!)).toString();
}

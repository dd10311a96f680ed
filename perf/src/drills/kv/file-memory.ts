import { statSync } from 'node:fs';
import { type KvShape, kvBytes, poolBytes } from '@onepass/kv';

/** Of `st_blocks`. */
const BLOCK_BYTES = 512;
const EVERY_MS = 20;

/** Memory that a pool's file takes beside its headers, in bytes; 0 while there is no file. */
export function kvMemory(path: string, shape: KvShape, slots: number): number {
  const headers = poolBytes(shape, slots) - slots * kvBytes(shape, shape.capacity);
  const blocks = statSync(path, { throwIfNoEntry: false })?.blocks ?? 0;
  return Math.max(0, blocks * BLOCK_BYTES - headers);
}

/** Watches that memory until `end`. */
export function watchKvMemory(path: string, shape: KvShape, slots: number): { most(): number; end(): void } {
  let most = 0;
  const look = () => {
    most = Math.max(most, kvMemory(path, shape, slots));
  };
  const timer = setInterval(look, EVERY_MS);
  return {
    most: () => {
      look();
      return most;
    },
    end: () => clearInterval(timer),
  };
}

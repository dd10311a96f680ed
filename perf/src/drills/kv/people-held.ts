import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { KV_POOL_FILE, KvPoolWriter, kvBytes, kvShape, poolBytes } from '@onepass/kv';
import type { Release } from '@onepass/release';
import { createSharedMemory } from '@onepass/shared-memory';
import { personKeyOf } from './scored-pool.js';

/** Slots that are full, whose memory the people get. */
const FULL_SLOTS = 64;
/** As many slots as there could ever be people in that memory. */
const SLOTS = 64 * FULL_SLOTS;

/**
 * Persons held in the memory of full slots, to those slots: what it is worth that slots pay for what they hold.
 * @param tokens of the people, one after the other; enough of them that the memory is full long before the last
 */
export function peopleHeldRatio({ manifest }: Pick<Release, 'manifest'>, tokens: readonly number[]): number {
  const shape = kvShape(manifest.model);
  const folder = mkdtempSync('/dev/shm/onepass-drill-kv-held-');
  const bytes = FULL_SLOTS * kvBytes(shape, shape.capacity);
  const memory = createSharedMemory(join(folder, KV_POOL_FILE), poolBytes(shape, SLOTS), bytes);
  try {
    const named = { releaseId: 'r-kv-drill', poolId: 'kv-drill' };
    const pool = KvPoolWriter.create(memory, { shape, slots: SLOTS, bytes, ...named, restMs: 0, now: () => 0 });
    for (const [person, length] of tokens.entries()) {
      // Room for the context rows behind them, as the user-encoder asks for it.
      const state = pool.allocate(personKeyOf(person), length + manifest.model.contextRows);
      if (typeof state === 'string') throw new Error(`a slot was refused: ${state}`);
      pool.publish(state, { length, sequence: length, hash: 0n });
      pool.release(state);
    }
    return pool.stats().slots.held / FULL_SLOTS;
  } finally {
    memory.close();
    rmSync(folder, { recursive: true });
  }
}

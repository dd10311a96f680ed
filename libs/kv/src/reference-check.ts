import { kvMiss, releaseMismatch } from '@onepass/errors';
import type { KvReference } from './reference.js';
import { keyWordsOfBytes, type SlotHeaders } from './slot-header.js';

/** The pool that references are held against. */
export interface CheckedPool {
  readonly releaseId: string;
  readonly poolId: string;
  readonly slots: number;
  readonly capacity: number;
  readonly headers: SlotHeaders;
}

/**
 * Before the use of what the reference names.
 * @param verify the check that is repeated after the use
 * @throws OnepassError `kv_miss` saying why it is not there; `release_mismatch` when the reference is of another release
 */
export function checkReference(reference: KvReference, pool: CheckedPool, verify: () => void): void {
  const { slot, generation, length, personKey } = reference;
  const { releaseId, poolId, slots, capacity, headers } = pool;
  if (reference.releaseId !== releaseId) throw releaseMismatch(releaseId, reference.releaseId, 'the KV');
  if (reference.poolId !== poolId) throw kvMiss('it is of another pool');
  if (!(slot >= 0 && slot < slots) || !(length >= 0 && length <= capacity)) throw kvMiss('the pool has no such slot');
  if (personKey.length !== 16) throw kvMiss('a person key has 16 bytes');
  verify();
  if (!headers.isOf(slot, generation, keyWordsOfBytes(personKey))) throw kvMiss('the slot is of another person');
  if (headers.length(slot) < length || headers.sequence(slot) < reference.historySequence) {
    throw kvMiss('the slot holds less than was meant');
  }
}

/** @throws OnepassError `kv_miss` when the slot's content is not the one that was meant, or is in change */
export function checkGeneration(headers: SlotHeaders, { slot, generation }: KvReference): void {
  if (generation % 2n !== 0n || headers.generation(slot) !== generation) throw kvMiss('the slot was used again');
}

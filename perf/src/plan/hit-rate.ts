import { KvPoolWriter, poolBytes } from '@onepass/kv';
import { heapMemory } from '@onepass/shared-memory';
import { MaxHeap } from './max-heap.js';
import type { Visits } from './visits.js';

/** As small as a pool can be: who is held does not depend on what of them is. */
const TINY = { layers: 1, width: 1, capacity: 1 };

/** Share of the counted pages, scans' left out, whose person the user-encoder's own pool of `slots` slots holds when they come. */
export function heldShare({ persons, counted }: Visits, slots: number): number {
  const identity = { releaseId: 'r', poolId: 'p', restMs: 0, now: () => 0 };
  const pool = KvPoolWriter.create(heapMemory(poolBytes(TINY, slots)), { shape: TINY, slots, ...identity });
  return shareOf(persons, counted, (person) => {
    const key = keyOf(person);
    if (pool.find(key)) return true;
    const state = pool.claim(key)!;
    pool.publish(state, { length: 1, sequence: 1, hash: 0n });
    pool.unpin(state);
    return false;
  });
}

/**
 * The same of somebody who knows what comes and may leave a person out: always gives up the one who comes back last (Belady, "A study of replacement
 * algorithms for a virtual-storage computer", 1966). Nobody can do better.
 */
export function optimalShare({ persons, counted }: Visits, slots: number): number {
  const next = nextVisits(persons);
  const held = new Map<number, number>();
  const byNext = new MaxHeap();
  return shareOf(persons, counted, (person, visit) => {
    const isHeld = held.has(person);
    held.set(person, next[visit]!);
    byNext.push(next[visit]!, person);
    while (held.size > slots) {
      const last = byNext.pop()!;
      // One who has come since then has another entry.
      if (held.get(last.value) === last.key) held.delete(last.value);
    }
    return isHeld;
  });
}

function shareOf(persons: Int32Array, counted: number, comes: (person: number, visit: number) => boolean): number {
  let pages = 0;
  let hits = 0;
  for (const [visit, person] of persons.entries()) {
    const isHeld = comes(person, visit);
    if (visit < counted || person < 0) continue;
    pages += 1;
    if (isHeld) hits += 1;
  }
  return hits / pages;
}

/** By visit, which is the person's next one; infinite for the last. */
function nextVisits(persons: Int32Array): Float64Array {
  const next = new Float64Array(persons.length);
  const later = new Map<number, number>();
  for (let visit = persons.length - 1; visit >= 0; visit -= 1) {
    next[visit] = later.get(persons[visit]!) ?? Number.POSITIVE_INFINITY;
    later.set(persons[visit]!, visit);
  }
  return next;
}

/** 32 hex digits. */
const keyOf = (person: number) => (person >>> 0).toString(16).padStart(32, '0');

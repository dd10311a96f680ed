import { Heap } from './heap.js';
import { HeldPeople } from './held-people.js';
import type { Visits } from './visits.js';

const SOMETHING = { length: 1, sequence: 1 };

/** Share of the counted pages, scans' left out, whose person the user-encoder's own pool of `slots` slots holds when they come. */
export function heldShare({ persons, counted }: Visits, slots: number): number {
  const held = new HeldPeople({ slots });
  return shareOf(persons, counted, (person) => {
    const lease = held.lease(keyOf(person));
    const isHeld = lease.content !== undefined;
    if (!isHeld && lease.claim(SOMETHING.length)) lease.publish(SOMETHING);
    lease.end();
    return isHeld;
  });
}

/**
 * The same of somebody who knows what comes and may leave a person out: always gives up the one who comes back last (Belady, "A study of replacement
 * algorithms for a virtual-storage computer", 1966). Nobody can do better.
 */
export function optimalShare({ persons, counted }: Visits, slots: number): number {
  const next = nextVisits(persons);
  const held = new Map<number, number>();
  const byNext = new Heap<{ readonly next: number; readonly person: number }>((a, b) => a.next > b.next);
  return shareOf(persons, counted, (person, visit) => {
    const isHeld = held.has(person);
    held.set(person, next[visit]!);
    byNext.push({ next: next[visit]!, person });
    while (held.size > slots) {
      const last = byNext.pop()!;
      // One who has come since then has another entry.
      if (held.get(last.person) === last.next) held.delete(last.person);
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
export const keyOf = (person: number) => (person >>> 0).toString(16).padStart(32, '0');

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ACTED_ITEMS,
  type ActivePerson,
  DUPLICATE_SPAN,
  MAX_AHEAD_MS,
  type NewEvent,
  type OpenHistoryStore,
} from './index.js';

const NOW = 1_800_000_000_000;

let persons = 0;
/** A person nobody wrote of yet. */
function newPerson(): string {
  return (++persons).toString(16).padStart(32, 'a');
}

function action(eventId: string, itemId: string, more: Partial<NewEvent> = {}): NewEvent {
  return { eventId, operation: 'add', itemId, actions: ['click'], surface: 'home', timeMs: NOW, ...more };
}

function retract(eventId: string): NewEvent {
  return { eventId, operation: 'retract', actions: [], surface: 'home', timeMs: NOW };
}

const byPerson = (a: ActivePerson, b: ActivePerson) => (a.person < b.person ? -1 : 1);

/**
 * What every history store must do. For tests only.
 * @param open a store that nobody else writes to, whose clock stands at `now`
 */
export function historyStoreConformance(name: string, open: (now: () => number) => Promise<OpenHistoryStore>): void {
  describe(`${name} is a history store`, () => {
    let store: OpenHistoryStore;
    beforeAll(async () => {
      store = await open(() => NOW);
    });
    afterAll(() => store.close());

    test('a person nobody wrote of has an empty history', async () => {
      const person = newPerson();
      const head = { sequence: 0, hash: 0n };
      expect(await store.head(person)).toEqual(head);
      expect(await store.tail(person, 0, 10)).toEqual({ head, afterHash: 0n, events: [] });
      expect(await store.latest(person, 10)).toEqual({ head, events: [] });
      expect(await store.actedItemIds(person)).toEqual({ head, itemIds: [] });
    });

    test('an event is read as it was told', async () => {
      const person = newPerson();
      const told: NewEvent[] = [
        action('e1', 'item é', { actions: ['click', 'save'], slateId: 's-1', position: 0 }),
        { eventId: 'e2', operation: 'add', queryText: 'red shoes', actions: ['search'], surface: 'search', timeMs: 0 },
      ];
      const { results, head } = await store.append(person, told);
      expect(results).toEqual([
        { status: 'accepted', sequence: 1 },
        { status: 'accepted', sequence: 2 },
      ]);
      const { events } = await store.tail(person, 0, 10);
      expect(events).toMatchObject([
        { ...told[0], sequence: 1, effectiveMs: NOW, retracted: false },
        { ...told[1], sequence: 2, timeMs: NOW, effectiveMs: NOW, retracted: false },
      ]);
      expect(events[1]!.itemId).toBeUndefined();
      expect(events[1]!.hash).toBe(head.hash);
      expect(await store.head(person)).toEqual(head);
    });

    test('persons do not see each other', async () => {
      const [one, other] = [newPerson(), newPerson()];
      await store.append(one, [action('e1', 'a')]);
      expect((await store.append(other, [action('e1', 'b')])).results).toEqual([{ status: 'accepted', sequence: 1 }]);
      expect((await store.actedItemIds(one)).itemIds).toEqual(['a']);
      expect((await store.latest(other, 5)).events.map((e) => e.itemId)).toEqual(['b']);
    });

    test('effective time never runs backwards, the time told is kept', async () => {
      const person = newPerson();
      const times = [NOW - 500, NOW - 9000, NOW - 100];
      await store.append(
        person,
        times.map((timeMs, i) => action(`e${i}`, 'a', { timeMs })),
      );
      const { events } = await store.tail(person, 0, 10);
      expect(events.map((e) => e.timeMs)).toEqual(times);
      expect(events.map((e) => e.effectiveMs)).toEqual([NOW - 500, NOW - 500, NOW - 100]);
    });

    test('one event’s refusal stops no other', async () => {
      const person = newPerson();
      const { results, head } = await store.append(person, [
        action('early', 'a', { timeMs: NOW + MAX_AHEAD_MS }),
        action('too early', 'a', { timeMs: NOW + MAX_AHEAD_MS + 1 }),
        action('before time', 'a', { timeMs: -1 }),
        action('last', 'b'),
      ]);
      expect(results).toMatchObject([
        { status: 'accepted', sequence: 1 },
        { status: 'refused', reason: expect.stringContaining('time_ms') },
        { status: 'refused', reason: expect.stringContaining('time_ms') },
        { status: 'accepted', sequence: 2 },
      ]);
      expect(head.sequence).toBe(2);
    });

    test('a repeat is a duplicate, within a write and across writes', async () => {
      const person = newPerson();
      const first = await store.append(person, [action('e1', 'a'), action('e1', 'b')]);
      expect(first.results[1]).toEqual({ status: 'duplicate', sequence: 1 });
      const again = await store.append(person, [action('e1', 'a')]);
      expect(again).toEqual({ results: [{ status: 'duplicate', sequence: 1 }], head: first.head });
    });

    test(`a repeat is recognised within ${DUPLICATE_SPAN} events and no further`, async () => {
      const person = newPerson();
      const events = Array.from({ length: DUPLICATE_SPAN }, (_, i) => action(`e${i + 1}`, 'a'));
      await store.append(person, events);
      expect((await store.append(person, [action('e1', 'a')])).results[0]!.status).toBe('duplicate');
      await store.append(person, [action('one more', 'a')]);
      const { results } = await store.append(person, [retract('e1'), action('e2', 'a'), action('e1', 'a')]);
      expect(results.map((r) => r.status)).toEqual(['refused', 'duplicate', 'accepted']);
    });

    test('a retract is an event that names the one it takes back', async () => {
      const person = newPerson();
      await store.append(person, [action('e1', 'a'), action('e2', 'b'), action('e3', 'a')]);
      const { results, head } = await store.append(person, [retract('e2')]);
      expect(results).toEqual([{ status: 'accepted', sequence: 4 }]);
      const { events } = await store.tail(person, 0, 10);
      expect(events.map((e) => e.retracted)).toEqual([false, true, false, false]);
      expect(events[3]).toMatchObject({ operation: 'retract', eventId: 'e2', retracts: 2, hash: head.hash });
      expect((await store.latest(person, 10)).events.map((e) => e.sequence)).toEqual([1, 3]);
      expect((await store.actedItemIds(person)).itemIds).toEqual(['a']);
    });

    test('what cannot be retracted is refused with a reason, a repeated retract is a duplicate', async () => {
      const person = newPerson();
      const { results } = await store.append(person, [
        retract('e1'),
        action('e1', 'a'),
        retract('e1'),
        retract('e1'),
        action('e1', 'a'),
      ]);
      expect(results).toMatchObject([
        { status: 'refused', reason: expect.stringContaining('event_id') },
        { status: 'accepted', sequence: 1 },
        { status: 'accepted', sequence: 2 },
        { status: 'duplicate', sequence: 1 },
        { status: 'duplicate', sequence: 1 },
      ]);
      expect((await store.latest(person, 10)).events).toEqual([]);
    });

    test('the tail begins after the sequence given and stops at its limit', async () => {
      const person = newPerson();
      await store.append(
        person,
        Array.from({ length: 10 }, (_, i) => action(`e${i}`, `i${i}`)),
      );
      const all = await store.tail(person, 0, 100);
      const tail = await store.tail(person, 4, 3);
      expect(tail.events).toEqual(all.events.slice(4, 7));
      expect(tail.afterHash).toBe(all.events[3]!.hash);
      expect(tail.head).toEqual({ sequence: 10, hash: all.events[9]!.hash });
      expect(await store.tail(person, 10, 3)).toMatchObject({ afterHash: tail.head.hash, events: [] });
      expect(await store.tail(person, 11, 3)).toMatchObject({ afterHash: undefined, events: [] });
    });

    test('the latest are read backwards page by page', async () => {
      const person = newPerson();
      await store.append(
        person,
        Array.from({ length: 10 }, (_, i) => action(`e${i + 1}`, `i${i + 1}`)),
      );
      await store.append(person, [retract('e9')]);
      const sequences = async (count: number, before?: number) =>
        (await store.latest(person, count, before)).events.map((e) => e.sequence);
      expect(await sequences(3)).toEqual([7, 8, 10]);
      expect(await sequences(3, 7)).toEqual([4, 5, 6]);
      expect(await sequences(30, 2)).toEqual([1]);
      expect(await sequences(30, 1)).toEqual([]);
      expect(await sequences(0)).toEqual([]);
    });

    test('acted items are distinct, the last acted on at the end, and capped', async () => {
      const person = newPerson();
      await store.append(person, [action('e1', 'a'), action('e2', 'b'), action('e3', 'a')]);
      expect((await store.actedItemIds(person)).itemIds).toEqual(['b', 'a']);
      const many = Array.from({ length: ACTED_ITEMS.items }, (_, i) => action(`m${i}`, `item ${i}`));
      await store.append(person, many);
      expect((await store.actedItemIds(person)).itemIds).toEqual(many.map((e) => e.itemId));
    });

    test('writes at once get sequences without gaps, each write its own block in order', async () => {
      const person = newPerson();
      const writes = await Promise.all(
        Array.from({ length: 40 }, (_, w) =>
          store.append(
            person,
            [0, 1, 2].map((i) => action(`w${w}-${i}`, `i${w}`)),
          ),
        ),
      );
      const given = writes.flatMap(({ results }) => results.map((r) => (r.status === 'accepted' ? r.sequence : NaN)));
      expect([...given].sort((a, b) => a - b)).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
      for (const { results } of writes) {
        const [first] = results;
        expect(
          results.map((r) => 'sequence' in r && first && 'sequence' in first && r.sequence - first.sequence),
        ).toEqual([0, 1, 2]);
      }
    });

    test('the chain tells histories apart and does not depend on how writes were grouped', async () => {
      const events = fc.array(
        fc.record({ itemId: fc.constantFrom('a', 'b'), actions: fc.subarray(['click', 'save'], { minLength: 1 }) }),
        { minLength: 1, maxLength: 6 },
      );
      await fc.assert(
        fc.asyncProperty(events, fc.nat(6), async (raw, cut) => {
          const told = raw.map((e, i) => action(`e${i}`, e.itemId, { actions: e.actions }));
          const [whole, parts, other] = [newPerson(), newPerson(), newPerson()];
          const { head } = await store.append(whole, told);
          await store.append(parts, told.slice(0, cut));
          expect((await store.append(parts, told.slice(cut))).head).toEqual(head);
          const changed = [...told.slice(0, -1), { ...told.at(-1)!, itemId: 'c' }];
          expect((await store.append(other, changed)).head.hash).not.toBe(head.hash);
        }),
        { seed: 5, numRuns: 20 },
      );
    });

    test('a forgotten person begins anew, and nobody else notices', async () => {
      const [person, other] = [newPerson(), newPerson()];
      const told = [action('e1', 'a'), action('e2', 'b'), retract('e1')];
      const first = await store.append(person, told);
      await store.append(other, told);
      await store.forget(person);
      await store.forget(person);
      const head = { sequence: 0, hash: 0n };
      expect(await store.tail(person, 0, 10)).toEqual({ head, afterHash: 0n, events: [] });
      expect(await store.latest(person, 10)).toEqual({ head, events: [] });
      expect(await store.actedItemIds(person)).toEqual({ head, itemIds: [] });
      // Not even an event id is remembered.
      expect((await store.append(person, told)).head).toEqual(first.head);
      expect(await store.head(other)).toEqual(first.head);
    });

    test('all persons with a history are told, each once', async () => {
      const told = Array.from({ length: 1_100 }, newPerson);
      await Promise.all(told.map((person) => store.append(person, [action('e1', 'a')])));
      // Of this one nothing was accepted.
      await store.append(newPerson(), [retract('nothing')]);
      const forgotten = told.slice(0, 50);
      await Promise.all(forgotten.map((person) => store.forget(person)));
      const persons: string[] = [];
      for await (const person of store.persons()) persons.push(person);
      expect(new Set(persons).size).toBe(persons.length);
      expect(persons.filter((p) => told.includes(p)).sort()).toEqual(told.slice(50).sort());
      for (const person of persons) expect((await store.head(person)).sequence).toBeGreaterThan(0);
    });

    test('who was active since a time is told with that time and how much there is of them', async () => {
      const since = NOW - 1_000;
      const told = Array.from({ length: 1_200 }, (_, i) => ({ person: newPerson(), timeMs: since + (i % 3) - 1 }));
      await Promise.all(
        told.map(({ person, timeMs }, i) =>
          store.append(person, [
            action('e1', 'a', { timeMs: NOW - 5_000 }),
            action('e2', 'b', { timeMs }),
            // Late: they were active when the event before it happened. Taken back: they were active all the same.
            ...(i % 2 ? [action('e3', 'c', { timeMs: NOW - 9_000 }), retract('e2')].slice(0, i % 4 === 1 ? 2 : 1) : []),
          ]),
        ),
      );
      const forgotten = told.slice(0, 20).map(({ person }) => person);
      await Promise.all(forgotten.map((person) => store.forget(person)));
      const active = new Map<string, ActivePerson>();
      for await (const one of store.activePersons(since)) active.set(one.person, one);
      const wanted = told.slice(20).flatMap(({ person, timeMs }, i) => {
        const retracted = (i + 20) % 4 === 1;
        const lastMs = retracted ? NOW : timeMs;
        return lastMs < since ? [] : [{ person, lastMs, events: retracted ? 4 : 2 + ((i + 20) % 2) }];
      });
      const known = new Set(told.map(({ person }) => person));
      expect([...active.values()].filter(({ person }) => known.has(person)).sort(byPerson)).toEqual(
        wanted.sort(byPerson),
      );
      for (const { lastMs } of active.values()) expect(lastMs).toBeGreaterThanOrEqual(since);
      for await (const one of store.activePersons(NOW + MAX_AHEAD_MS + 1)) expect(one).toBeUndefined();
    });

    test('only a person key is a key', async () => {
      await expect(store.head('anna')).rejects.toMatchObject({ kind: 'internal' });
      await expect(store.forget('anna')).rejects.toMatchObject({ kind: 'internal' });
    });
  });
}

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LoggedSlate, Slate, SlateOutcome, SlateStore } from './index.js';

const NOW = 1_800_000_000_000;

let persons = 0;
/** A person nobody recorded a slate of yet. */
function newPerson(): string {
  return (++persons).toString(16).padStart(32, 'b');
}

function slate(person: string | undefined, slateId: string, more: Partial<Slate> = {}): Slate {
  return {
    slateId,
    person,
    surface: 'home',
    timeMs: NOW,
    historySequence: 3,
    historyHash: 0xfedc_ba98_7654_3210n,
    releaseId: 'r-1',
    foreign: false,
    relatedItemIds: [],
    queryText: undefined,
    queryEmbedding: undefined,
    features: {},
    actions: ['click', 'save'],
    degraded: [],
    items: [{ itemId: 'a', position: 0, utility: 0.5, probabilities: [0.25, 0.125] }],
    ...more,
  };
}

const outcome = (itemId: string, position: number, more: Partial<SlateOutcome> = {}): SlateOutcome => ({
  itemId,
  position,
  visible: true,
  actions: [],
  ...more,
});

async function listed(store: SlateStore, wanted: (slate: LoggedSlate) => boolean): Promise<LoggedSlate[]> {
  const slates: LoggedSlate[] = [];
  for await (const one of store.all()) if (wanted(one)) slates.push(one);
  return slates;
}

const text = fc.string({ unit: 'grapheme', maxLength: 30 });
const float = fc.float({ noNaN: true, noDefaultInfinity: true });
const anySlate = fc.array(text, { maxLength: 8 }).chain((actions) =>
  fc.record<Slate>({
    slateId: fc.uuid(),
    person: fc.option(fc.stringMatching(/^[0-9a-f]{32}$/), { nil: undefined }),
    surface: text,
    timeMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    historySequence: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    historyHash: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    releaseId: text,
    foreign: fc.boolean(),
    relatedItemIds: fc.array(text, { maxLength: 4 }),
    queryText: fc.option(text, { nil: undefined }),
    queryEmbedding: fc.option(
      fc.array(float, { maxLength: 64 }).map((values) => Float32Array.from(values)),
      { nil: undefined },
    ),
    features: fc.dictionary(text, fc.double({ noNaN: true }), { maxKeys: 4 }),
    actions: fc.constant(actions),
    degraded: fc.array(text, { maxLength: 3 }),
    items: fc.array(
      fc.record({
        itemId: text,
        position: fc.nat(10_000),
        utility: float,
        probabilities: fc.array(float, { minLength: actions.length, maxLength: actions.length }),
      }),
      { maxLength: 20 },
    ),
  }),
);

/**
 * What every slate store must do. For tests only.
 * @param open a store that nobody else writes to
 */
export function slateStoreConformance(name: string, open: () => Promise<SlateStore>): void {
  describe(`${name} is a slate store`, () => {
    let store: SlateStore;
    beforeAll(async () => {
      store = await open();
    });
    afterAll(() => store.close());

    test('a slate is read as it was recorded', async () => {
      await fc.assert(
        fc.asyncProperty(anySlate, async (one) => {
          await store.record([one]);
          expect(await store.get(one.person, one.slateId)).toEqual({ ...one, outcomes: [] });
          expect(await store.get(newPerson(), one.slateId)).toBeUndefined();
          if (one.person !== undefined) expect(await store.get(undefined, one.slateId)).toBeUndefined();
        }),
        { seed: 6, numRuns: 50 },
      );
    });

    test('a slate that is recorded twice is kept once, as it was first', async () => {
      const person = newPerson();
      await store.record([slate(person, 's1'), slate(person, 's1', { surface: 'search' })]);
      await store.record([slate(person, 's1', { timeMs: NOW + 1 })]);
      expect(await listed(store, (s) => s.person === person)).toEqual([{ ...slate(person, 's1'), outcomes: [] }]);
    });

    test('the newest outcome of an item and position counts, and all are in page order', async () => {
      const person = newPerson();
      await store.record([slate(person, 's1')]);
      expect(await store.addOutcomes(person, 's1', [outcome('b', 1), outcome('a', 0, { visible: false })])).toBe(true);
      expect(await store.addOutcomes(person, 's1', [outcome('a', 0, { actions: ['click'] })])).toBe(true);
      const outcomes = [outcome('a', 0, { actions: ['click'] }), outcome('b', 1)];
      expect((await store.get(person, 's1'))?.outcomes).toEqual(outcomes);
      expect(await listed(store, (s) => s.person === person)).toEqual([{ ...slate(person, 's1'), outcomes }]);
    });

    test('outcomes told at once are all kept', async () => {
      const person = newPerson();
      await store.record([slate(person, 's1')]);
      const told = Array.from({ length: 20 }, (_, i) => outcome(`i${i}`, i));
      await Promise.all(told.map((one) => store.addOutcomes(person, 's1', [one])));
      expect((await store.get(person, 's1'))?.outcomes).toEqual(told);
    });

    test('outcomes of no slate are kept nowhere', async () => {
      const person = newPerson();
      expect(await store.addOutcomes(person, 's1', [outcome('a', 0)])).toBe(false);
      await store.record([slate(person, 's1')]);
      expect((await store.get(person, 's1'))?.outcomes).toEqual([]);
    });

    test('all slates are told, each person’s in order of time', async () => {
      const owners = [newPerson(), undefined, newPerson()];
      const recorded = owners.flatMap((person, owner) =>
        [3, 1, 2, 2].map((minute, i) => slate(person, `all-${owner}-${i}`, { timeMs: NOW + minute })),
      );
      await store.record(recorded);
      const told = await listed(store, (s) => s.slateId.startsWith('all-'));
      expect(new Set(told.map((s) => s.slateId))).toEqual(new Set(recorded.map((s) => s.slateId)));
      expect(told.length).toBe(recorded.length);
      for (const person of [owners[0], owners[2]]) {
        const own = told.filter((s) => s.person === person);
        expect(own.map((s) => s.timeMs - NOW)).toEqual([1, 2, 2, 3]);
        const at = told.indexOf(own[0]!);
        expect(told.slice(at, at + own.length)).toEqual(own);
      }
    });

    test('a forgotten person has no slate, and nobody else notices', async () => {
      const [person, other] = [newPerson(), newPerson()];
      await store.record([person, other, undefined].map((who) => slate(who, 'forget-1', { timeMs: 5 })));
      await store.addOutcomes(person, 'forget-1', [outcome('a', 0)]);
      await store.forget(person);
      await store.forget(person);
      expect(await store.get(person, 'forget-1')).toBeUndefined();
      expect((await listed(store, (s) => s.slateId === 'forget-1')).map((s) => s.person).sort()).toEqual([
        other,
        undefined,
      ]);
      // Recorded anew, it has nothing of what was forgotten.
      await store.record([slate(person, 'forget-1', { timeMs: 5 })]);
      expect((await store.get(person, 'forget-1'))?.outcomes).toEqual([]);
    });

    test('pruning drops what is older, of everybody, and says how much', async () => {
      const owners = [newPerson(), undefined];
      await store.prune(NOW - 1_000);
      const old = owners.flatMap((person) =>
        Array.from({ length: 600 }, (_, i) => slate(person, `old-${i}`, { timeMs: NOW - 2_000 + i })),
      );
      await store.record(old);
      await store.record(owners.map((person) => slate(person, 'kept', { timeMs: NOW - 1_000 })));
      await store.addOutcomes(owners[0], 'old-0', [outcome('a', 0)]);
      expect(await store.prune(NOW - 1_000)).toBe(1_200);
      expect(await store.prune(NOW - 1_000)).toBe(0);
      for (const person of owners) {
        expect(await store.get(person, 'old-599')).toBeUndefined();
        expect(await store.get(person, 'kept')).toBeDefined();
      }
      await store.record([slate(owners[0], 'old-0')]);
      expect((await store.get(owners[0], 'old-0'))?.outcomes).toEqual([]);
    });

    test('only a person key is a key', async () => {
      await expect(store.record([slate('anna', 's1')])).rejects.toMatchObject({ kind: 'internal' });
      await expect(store.get('anna', 's1')).rejects.toMatchObject({ kind: 'internal' });
      await expect(store.forget('nobody-00')).rejects.toMatchObject({ kind: 'internal' });
    });
  });
}

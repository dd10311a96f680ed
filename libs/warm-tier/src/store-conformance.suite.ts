import { describe, expect, test } from 'vitest';
import { newPerson } from './made-up.suite.js';
import type { WarmStore } from './store.js';

export interface OpenStoreTerms {
  readonly releaseId: string;
  readonly maxBytes: number;
}

/** A place for stores of a test's own. */
export interface StorePlaceUnderTest {
  open(terms: OpenStoreTerms): Promise<WarmStore>;
  /** Whether any name or byte of the person lies there. */
  holds(person: string): Promise<boolean>;
  remove(): Promise<void>;
}

const entry = (bytes: number, fill: number) => Buffer.alloc(bytes, fill);

/** What every warm store must do. For tests only. */
export function warmStoreConformance(name: string, makePlace: () => Promise<StorePlaceUnderTest>): void {
  const inPlace = async (use: (place: StorePlaceUnderTest) => Promise<void>) => {
    const place = await makePlace();
    try {
      await use(place);
    } finally {
      await place.remove();
    }
  };
  const inStore = (maxBytes: number, use: (store: WarmStore, place: StorePlaceUnderTest) => Promise<void>) =>
    inPlace(async (place) => {
      const store = await place.open({ releaseId: 'r-1', maxBytes });
      await use(store, place);
      await store.close();
    });

  describe(`${name} is a warm store`, () => {
    test('what was written last is read, by another one too, until it is dropped', () =>
      inPlace(async (place) => {
        const [one, other] = await Promise.all([1, 2].map(() => place.open({ releaseId: 'r-1', maxBytes: 1e6 })));
        const person = newPerson();
        expect(await one!.read(person)).toBeUndefined();
        expect(await one!.write(person, entry(1_000, 1))).toBe('written');
        expect(await one!.write(person, entry(2_000, 2))).toBe('written');
        expect(await one!.read(person)).toEqual(entry(2_000, 2));
        expect(await other!.read(person)).toEqual(entry(2_000, 2));
        expect(await one!.read(newPerson())).toBeUndefined();
        expect(one!.usage()).toEqual({ entries: 1, bytes: 2_000 });
        await other!.drop(person);
        await other!.drop(newPerson());
        expect(await one!.read(person)).toBeUndefined();
        await Promise.all([one!.close(), other!.close()]);
      }));

    test('it is bounded: those written first go first, and one that is too large for all is not taken', () =>
      inStore(10_000, async (store) => {
        const persons = Array.from({ length: 8 }, newPerson);
        for (const person of persons) expect(await store.write(person, entry(2_500, 3))).toBe('written');
        const kept = await Promise.all(persons.map(async (person) => (await store.read(person)) !== undefined));
        expect(kept).toEqual([false, false, false, false, true, true, true, true]);
        // Written again is written last.
        await store.write(persons[4]!, entry(2_500, 4));
        await store.write(persons[0]!, entry(2_600, 4));
        expect(await store.read(persons[5]!)).toBeUndefined();
        expect(await store.read(persons[4]!)).toEqual(entry(2_500, 4));
        expect(await store.write(persons[1]!, entry(10_001, 1))).toBe('full');
        expect(store.usage().bytes).toBeLessThanOrEqual(10_000);
      }));

    test('releases do not see each other, and share the bound', () =>
      inPlace(async (place) => {
        const [one, other] = await Promise.all([
          place.open({ releaseId: 'r-1', maxBytes: 5_000 }),
          place.open({ releaseId: 'r-2/é', maxBytes: 5_000 }),
        ]);
        const person = newPerson();
        await one.write(person, entry(1_000, 1));
        expect(await other.read(person)).toBeUndefined();
        await other.write(person, entry(1_100, 2));
        expect(await one.read(person)).toEqual(entry(1_000, 1));
        await other.drop(person);
        expect(await one.read(person)).toEqual(entry(1_000, 1));
        await Promise.all([one.close(), other.close()]);
        const again = await place.open({ releaseId: 'r-2/é', maxBytes: 5_000 });
        await again.write(newPerson(), entry(4_500, 3));
        await again.close();
        const first = await place.open({ releaseId: 'r-1', maxBytes: 5_000 });
        expect(await first.read(person)).toBeUndefined();
        await first.close();
      }));

    test('forgetting leaves nothing of a person, of no release, and everything of the others', () =>
      inPlace(async (place) => {
        const [one, other] = await Promise.all(
          ['r-1', 'r-2'].map((releaseId) => place.open({ releaseId, maxBytes: 1e6 })),
        );
        const [person, neighbour] = [newPerson(), newPerson()];
        for (const store of [one!, other!])
          for (const each of [person, neighbour]) await store.write(each, entry(500, 5));
        expect(await place.holds(person)).toBe(true);
        await one!.forget(person);
        expect(await place.holds(person)).toBe(false);
        expect(await other!.read(neighbour)).toEqual(entry(500, 5));
        await one!.forget(person);
        await one!.forget(newPerson());
        await Promise.all([one!.close(), other!.close()]);
      }));
  });
}

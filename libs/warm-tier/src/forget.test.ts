import fc from 'fast-check';
import { afterAll, expect, test, vi } from 'vitest';
import { MadeUpCell } from './cell.suite.js';
import { openDiskStore } from './disk-store.js';
import { newPerson } from './made-up.suite.js';

const cell = new MadeUpCell();
afterAll(() => cell.close());

type Step =
  | { readonly kind: 'offer' | 'forget' | 'find'; readonly who: number }
  | { readonly kind: 'wait'; readonly turns: number };

const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('offer' as const), who: fc.nat(2) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('forget' as const), who: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('find' as const), who: fc.nat(2) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), turns: fc.nat(30) }) },
  ),
  { minLength: 5, maxLength: 40 },
);

test('whatever was offered, is being written or was found: nothing of a person is there once they are forgotten, and all of the others', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (todo: Step[]) => {
      const directory = cell.newDirectory();
      const tier = await cell.openTier({ directory });
      const persons = Array.from({ length: 3 }, newPerson);
      for (const person of persons) cell.fill(person);
      const forgetting = new Map<string, number>();
      const offered = new Set<string>();
      const under: Promise<unknown>[] = [];
      for (const step of todo) {
        if (step.kind === 'wait') {
          for (let turn = 0; turn < step.turns; turn++) await new Promise((resolve) => setImmediate(resolve));
          continue;
        }
        const person = persons[step.who]!;
        if (step.kind === 'find') under.push(tier.find(person));
        if (step.kind === 'offer') {
          tier.offer(person);
          if (!forgetting.get(person)) offered.add(person);
        }
        if (step.kind === 'forget') {
          forgetting.set(person, (forgetting.get(person) ?? 0) + 1);
          offered.delete(person);
          const forgotten = tier.forget(person).then(() => {
            forgetting.set(person, forgetting.get(person)! - 1);
            expect(cell.filesIn(directory).filter((name) => name.includes(person))).toEqual([]);
          });
          under.push(forgotten);
        }
      }
      await Promise.all(under);
      await tier.close({ flushMs: 10_000 });
      const left = persons.filter((person) => cell.filesIn(directory).some((name) => name.includes(person)));
      expect(left).toEqual(persons.filter((person) => offered.has(person)));
      expect(cell.leased).toBe(0);
    }),
    { seed: 11, numRuns: 60 },
  );
});

test('a write that is under way is waited for, and does not come back', async () => {
  const directory = cell.newDirectory();
  const limits = { maxBytes: 1e6, maxAgeMs: 1e6, maxEntryBytes: 1e5, releaseId: 'r-1' };
  let go = () => {};
  const blocked = new Promise<void>((resolve) => {
    go = resolve;
  });
  const disk = await openDiskStore({ ...limits, directory });
  let writing = false;
  const store = Object.assign(Object.create(disk), {
    read: (person: string) => disk.read(person),
    forget: (person: string) => disk.forget(person),
    usage: () => disk.usage(),
    close: () => disk.close(),
    write: async (person: string, entry: Buffer) => {
      writing = true;
      await blocked;
      return disk.write(person, entry);
    },
  });
  const tier = await cell.openTier({ store });
  const person = newPerson();
  cell.fill(person);
  tier.offer(person);
  await vi.waitFor(() => expect(writing).toBe(true));
  let forgotten = false;
  const forgetting = tier.forget(person).then(() => {
    forgotten = true;
  });
  tier.offer(person);
  await new Promise((resolve) => setImmediate(resolve));
  expect(forgotten).toBe(false);
  go();
  await forgetting;
  await tier.close({ flushMs: 1_000 });
  expect(cell.filesIn(directory)).toEqual([]);
  expect(tier.stats()).toMatchObject({ writes: 1, dropped: { forgotten: 1 } });
});

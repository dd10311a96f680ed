import { setImmediate } from 'node:timers/promises';
import { hasNoRedis, startTestRedis } from '@onepass/testing';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, expect, test, vi } from 'vitest';
import { MadeUpCell } from './cell.suite.js';
import { openDiskStore } from './disk-store.js';
import { newPerson } from './made-up.suite.js';
import { openRedisStore } from './redis-store.js';
import type { WarmStore } from './store.js';

const cell = new MadeUpCell();
afterAll(() => cell.close());
const limits = { maxBytes: 1e6, maxAgeMs: 1e6, maxEntryBytes: 1e5, releaseId: 'r-1' };

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

/** Where a tier keeps its entries, and what of a person lies there. */
interface Place {
  store(): Promise<WarmStore>;
  holds(person: string): Promise<boolean>;
}

function directoryPlace(): Place {
  const directory = cell.newDirectory();
  return {
    store: () => openDiskStore({ ...limits, directory }),
    holds: async (person) => cell.filesIn(directory).some((name) => name.includes(person)),
  };
}

/** Does what is told, then checks that all who were offered, and not forgotten since, are there, and nobody else. */
async function play(todo: readonly Step[], { store, holds }: Place): Promise<void> {
  const tier = await cell.openTier({ store: await store() });
  const persons = Array.from({ length: 3 }, newPerson);
  for (const person of persons) cell.fill(person);
  const forgetting = new Map<string, number>();
  const offered = new Set<string>();
  const underWay: Promise<unknown>[] = [];
  const forget = async (person: string) => {
    forgetting.set(person, (forgetting.get(person) ?? 0) + 1);
    offered.delete(person);
    await tier.forget(person);
    forgetting.set(person, forgetting.get(person)! - 1);
    // Unless they were offered again by now.
    if (await holds(person)) expect(offered).toContain(person);
  };
  for (const step of todo) {
    if (step.kind === 'wait') for (let turn = 0; turn < step.turns; turn++) await setImmediate();
    else {
      const person = persons[step.who]!;
      if (step.kind === 'find') underWay.push(tier.find(person));
      if (step.kind === 'forget') underWay.push(forget(person));
      if (step.kind === 'offer') {
        tier.offer(person);
        if (!forgetting.get(person)) offered.add(person);
      }
    }
  }
  await Promise.all(underWay);
  await tier.close({ flushMs: 10_000 });
  for (const person of persons) expect(await holds(person)).toBe(offered.has(person));
  expect(cell.leased).toBe(0);
}

const LAW =
  'whatever waits, is being written or was found: nothing of a person is left once they are forgotten, and all of the others';

test(`on disk: ${LAW}`, async () => {
  const once = fc.asyncProperty(steps, (todo: Step[]) => play(todo, directoryPlace()));
  await fc.assert(once, { seed: 11, numRuns: 60 });
});

test.skipIf(hasNoRedis())(
  `in Redis: ${LAW}`,
  async () => {
    const server = await startTestRedis();
    const client = new Redis(server.port, '127.0.0.1');
    const nodes = [{ host: '127.0.0.1', port: server.port }];
    const place = { nodes, tls: false, username: undefined, password: undefined, database: 0 };
    const inRedis: Place = {
      store: () => openRedisStore({ ...limits, place, timeoutMs: 5_000 }),
      holds: async (person) => (await client.keys(`*${person}*`)).length > 0,
    };
    const once = fc.asyncProperty(steps, (todo: Step[]) => play(todo, inRedis));
    await fc.assert(once, { seed: 12, numRuns: 30 });
    client.disconnect();
    await server.remove();
  },
  120_000,
);

test('a write that is under way is waited for, and does not come back', async () => {
  const directory = cell.newDirectory();
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
  await setImmediate();
  expect(forgotten).toBe(false);
  go();
  await forgetting;
  await tier.close({ flushMs: 1_000 });
  expect(cell.filesIn(directory)).toEqual([]);
  expect(tier.stats()).toMatchObject({ writes: 1, dropped: { forgotten: 1 } });
});

import { KvSource } from '@onepass/contracts';
import type { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type CellClient,
  HOUR,
  keyOf,
  largestDifference,
  NOW,
  startTwoCells,
  type TwoCells,
  user,
} from './two-cells.suite.js';

const EQUAL = 1e-4;
const PEOPLE = 7;

/** What happens to one person in a round. */
type Step =
  | { readonly kind: 'page'; readonly candidates: number; readonly related: number }
  | { readonly kind: 'act'; readonly count: number }
  | { readonly kind: 'take back' }
  | { readonly kind: 'forget' }
  | { readonly kind: 'give up' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('page' as const),
      candidates: fc.integer({ min: 1, max: 40 }),
      related: fc.integer({ min: 0, max: 8 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('act' as const), count: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'take back' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'forget' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'give up' as const }) },
);
/** Of everybody at one time, so many times. */
const rounds = fc.array(fc.array(step, { minLength: PEOPLE, maxLength: PEOPLE }), { minLength: 4, maxLength: 8 });

let cells: TwoCells;
beforeAll(async () => {
  // Fewer slots than people, two lanes, small runs: people give way, wait and share.
  cells = await startTwoCells({ ONEPASS_KV_SLOTS: '5', ONEPASS_KV_REST_MS: '0', ONEPASS_DEVICE_BATCH: '4' });
});
afterAll(() => cells.end());

/** A page's scores; a miss between the two calls is met as the gateway meets it. */
async function scores(cell: CellClient, person: string, { candidates, related }: Step & { kind: 'page' }) {
  for (let attempt = 0; ; attempt++) {
    const encoded = await cell.encode(person, {
      context: { surface: 'related', nowMs: BigInt(NOW + HOUR) },
      relatedItemIds: cells.items.ids.slice(3, 3 + related),
    });
    try {
      return { encoded, probabilities: await cell.rank(encoded, cells.candidates(candidates)) };
    } catch (error) {
      if ((error as OnepassError).kind !== 'kv_miss' || attempt === 9) throw error;
    }
  }
}

async function take(person: string, told: number, one: Step): Promise<number> {
  switch (one.kind) {
    case 'act':
      await cells.append(person, cells.actions(one.count, told));
      return told + one.count;
    case 'take back':
      if (told > 0)
        await cells.append(person, [
          { eventId: `e${told - 1}`, operation: 'retract', actions: [], surface: 'home', timeMs: NOW },
        ]);
      return told;
    case 'forget':
      await cells.history.forget(keyOf(person));
      await Promise.all([cells.device, cells.shared].map(({ encoder }) => encoder.forget({ person: user(person) })));
      return 0;
    case 'give up': {
      const gone = new AbortController();
      const asked = cells.device.encoder.encode(
        { releaseId: cells.release.id, person: user(person), context: { surface: 'home', nowMs: BigInt(NOW) } },
        { signal: gone.signal },
      );
      setImmediate(() => gone.abort());
      await asked.catch(() => {});
      return told;
    }
    case 'page': {
      const [here, there] = await Promise.all([cells.device, cells.shared].map((cell) => scores(cell, person, one)));
      expect(here!.encoded.kv!.length).toBe(there!.encoded.kv!.length);
      expect(here!.encoded.kvSource === KvSource.EMPTY).toBe(there!.encoded.kvSource === KvSource.EMPTY);
      expect(largestDifference(here!.probabilities, there!.probabilities)).toBeLessThan(EQUAL);
      return told;
    }
  }
}

test('whatever people do at one time, the device gives the scores that shared memory gives', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(rounds, async (all) => {
      run++;
      const told = Array<number>(PEOPLE).fill(0);
      for (const round of all)
        await Promise.all(
          round.map(async (one, i) => {
            told[i] = await take(`run ${run} person ${i}`, told[i]!, one);
          }),
        );
    }),
    { seed: 25, numRuns: 12 },
  );
  const { measurements } = await cells.device.encoder.describe({});
  expect(measurements['onepass.kv.slots.leased']).toBe(0);
  expect(measurements['onepass.kv.evictions']).toBeGreaterThan(0);
  expect(measurements['onepass.device.asks']).toBeGreaterThan(measurements['onepass.device.runs']!);
}, 60_000);

import { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LeafShard } from './leaf.js';
import { Root } from './root.js';
import type { Hits } from './top.js';

const hits = (...pairs: [row: number, score: number][]): Hits => ({
  rows: Uint32Array.from(pairs, ([row]) => row),
  scores: Float32Array.from(pairs, ([, score]) => score),
});
const leaf = (answer: () => Hits | Promise<Hits>): LeafShard => ({
  search: () => {
    const one = answer();
    return one instanceof Promise ? one.then((h) => [h]) : [one];
  },
});
const broken = leaf(() => {
  throw new Error('broken');
});
const silent = leaf(() => new Promise(() => {}));
const first = leaf(() => hits([3, 0.9], [1, 0.5]));
const second = leaf(async () => hits([0, 0.7], [2, 0.5]));
const request = { queries: new Float32Array(4), limit: 3 };

async function ask(leaves: readonly LeafShard[], withinMs = 20) {
  const failures: [number, string][] = [];
  const root = new Root({
    leaves,
    ids: ['d', 'c', 'b', 'a'],
    onLeafFailure: (index, cause) => failures.push([index, (cause as Error).message]),
  });
  return { ...(await root.search(request, withinMs)), failures };
}

describe('the root', () => {
  test('answers the best of all shards however they lie, though it asks each for its part first', async () => {
    const shards = fc.array(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 120 }), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(shards, fc.integer({ min: 1, max: 150 }), async (scores, limit) => {
        let row = 0;
        const parts = scores.map((list) => list.map((score): [number, number] => [row++, score]));
        const ids = Array.from({ length: row }, (_, i) => `i${(i * 31) % 97}-${i}`);
        const best = (pairs: [number, number][], count: number) =>
          hits(...[...pairs].sort((a, b) => b[1] - a[1] || (ids[a[0]]! < ids[b[0]]! ? -1 : 1)).slice(0, count));
        const leaves = parts.map((pairs): LeafShard => ({ search: ({ limit }) => [best(pairs, limit)] }));
        const root = new Root({ leaves, ids, onLeafFailure: () => expect.fail('a leaf failed') });
        expect((await root.search({ ...request, limit }, Infinity)).hits).toEqual([best(parts.flat(), limit)]);
      }),
      { seed: 14, numRuns: 300 },
    );
  });

  test('merges what the leaves found, ties by id', async () => {
    const { hits, shardsAnswered, shardsTotal } = await ask([first, second]);
    expect([...hits[0]!.rows]).toEqual([3, 0, 2]);
    expect([shardsAnswered, shardsTotal]).toEqual([2, 2]);
  });

  test('answers with less coverage when leaves fail or are late', async () => {
    const { hits, shardsAnswered, shardsTotal, failures } = await ask([first, broken, silent]);
    expect([...hits[0]!.rows]).toEqual([3, 1]);
    expect([shardsAnswered, shardsTotal]).toEqual([1, 3]);
    expect(failures).toEqual([
      [1, 'broken'],
      [2, 'no answer in time'],
    ]);
    const rejecting = leaf(() => Promise.reject(new Error('gone')));
    expect((await ask([second, rejecting], Infinity)).failures).toEqual([[1, 'gone']]);
  });

  test('asks the leaves that answered for the part of one that did not, and nobody waits twice', async () => {
    const asked: number[] = [];
    const plenty: LeafShard = {
      search: ({ limit }) => {
        asked.push(limit);
        return [hits(...Array.from({ length: limit }, (_, row): [number, number] => [row, 1 - row / 1000]))];
      },
    };
    let silences = 0;
    const counted: LeafShard = {
      search: () => {
        silences++;
        return new Promise(() => {});
      },
    };
    const root = new Root({ leaves: [plenty, counted], ids: [], onLeafFailure: () => {} });
    const answer = await root.search({ ...request, limit: 200 }, 20);
    expect(answer.hits[0]!.rows.length).toBe(200);
    expect([asked, silences, answer.shardsAnswered]).toEqual([[148, 200], 1, 1]);
  });

  test('is unavailable when none answers', async () => {
    const error = await ask([broken, silent]).catch((thrown: unknown) => thrown);
    expect((error as OnepassError).kind).toBe('unavailable');
  });

  test('stops waiting when the caller goes', async () => {
    const gone = new OnepassError({ kind: 'cancelled' }, 'the caller has gone');
    const controller = new AbortController();
    const root = new Root({ leaves: [first, silent], ids: [], onLeafFailure: () => {} });
    const answer = root.search({ ...request, signal: controller.signal }, Infinity);
    controller.abort(gone);
    await expect(answer).rejects.toBe(gone);
    await expect(root.search({ ...request, signal: controller.signal }, Infinity)).rejects.toBe(gone);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blend } from './budgets.js';
import { commonDirection, groupQueries, NEAR_EQUAL } from './query-groups.js';
import { bestHits } from './top.js';

const none = new Float32Array(2);
const groupsOf = (...given: Parameters<typeof groupQueries>) => groupQueries(...given).groups;

describe('groups of queries', () => {
  test('near-equal queries are one, with the shares added; those without a share are none', () => {
    const queries = Float32Array.of(1, 0, 0, 1, 0.999, 0.01, -1, 0, 2, 0);
    expect(groupQueries(queries, [0.5, 0.5, 0.25, 0.75, 0.25], none)).toEqual({
      groups: [
        { query: 0, share: 2 },
        { query: 3, share: 1.5 },
        { query: 1, share: 1 },
      ],
      mergedInto: [0, 1, 0, 3, 0],
    });
    expect(groupQueries(queries, [0, 0, 1, 0, 0], none)).toEqual({
      groups: [{ query: 2, share: 1 }],
      mergedInto: [0, 1, 2, 3, 4],
    });
    expect(groupsOf(new Float32Array(4), [1, 1], none)).toEqual([{ query: 0, share: 2 }]);
  });

  test('shares far apart neither overflow nor vanish', () => {
    const queries = Float32Array.of(1, 0, 0, 1);
    const [large, small] = groupsOf(queries, [1e308, 1e-300], none);
    expect([large!.query, small!.query]).toEqual([0, 1]);
    const hits = (...rows: number[]) => ({ rows: Uint32Array.from(rows), scores: new Float32Array(rows.length) });
    expect(blend([hits(1), hits(2, 1)], [large!.share, small!.share], 2).rows.length).toBe(2);
    for (const share of [Number.MAX_VALUE, Number.MIN_VALUE]) {
      const [one, ...others] = groupsOf(Float32Array.of(3e38, 0, 3e38, 0), [share, share], none);
      expect([one!.query, Number.isFinite(one!.share), others]).toEqual([0, true, []]);
    }
  });

  test('queries in one cone are told apart by what is across it', () => {
    const items = [Float32Array.of(0.1, 0, 1), Float32Array.of(0, 0.1, 1), Float32Array.of(-0.1, -0.1, 1)];
    const common = commonDirection(items, 3);
    expect([...common]).toEqual([0, 0, 1]);
    const queries = Float32Array.of(0.1, 0, 1, 0, 0.1, 1, 0.05, 0, 1);
    expect(groupsOf(queries, [1, 1, 0.5], common)).toEqual([
      { query: 0, share: 1.5 },
      { query: 1, share: 1 },
    ]);
    expect(commonDirection([], 2)).toEqual(new Float32Array(2));
  });
});

/** Queries around a circle, closer than the threshold to their neighbours and not to the next but one, with all kinds of shares. */
const STEP = 0.15;
const query = fc.record({
  turn: fc.integer({ min: 0, max: 14 }),
  share: fc.constantFrom(0, 1e-300, 1e-9, 0.1, 0.25, 0.3, 1 / 3, 0.5, 1, 3, 1e308),
});
const given = fc.array(query, { minLength: 1, maxLength: 32 }).filter((list) => list.some(({ share }) => share > 0));
type Given = readonly { readonly turn: number; readonly share: number }[];

const ITEMS = 120;
const ids = Array.from({ length: ITEMS }, (_, row) => `i${(row * 37) % ITEMS}`);
const itemRows = Uint32Array.from({ length: ITEMS }, (_, row) => row);
/** On a coarse grid, so that scores tie. */
const items = Array.from({ length: ITEMS }, (_, i) => [((i * 7) % 11) / 10 - 0.5, ((i * 5) % 13) / 12 - 0.5] as const);

const embeddings = (list: Given) =>
  Float32Array.from(list.flatMap(({ turn }) => [Math.cos(turn * STEP), Math.sin(turn * STEP)]));
const group = (list: Given) =>
  groupQueries(
    embeddings(list),
    list.map(({ share }) => share),
    none,
  );

function candidates(list: Given, limit: number): number[] {
  const { groups } = group(list);
  const queries = embeddings(list);
  const hits = groups.map(({ query: q }) => {
    const scores = Float32Array.from(items, ([x, y]) => x * queries[2 * q]! + y * queries[2 * q + 1]!);
    return bestHits(itemRows, scores, { count: ITEMS, limit, ids });
  });
  const shares = groups.map(({ share }) => share);
  return [...blend(hits, shares, limit).rows];
}

describe('laws of budgets', () => {
  const settings = { seed: 19, numRuns: 400 };
  const limit = fc.integer({ min: 1, max: ITEMS + 10 });

  test('merging keeps the total and every query is in a group that is near to it', () => {
    fc.assert(
      fc.property(given, (list) => {
        const { groups, mergedInto } = group(list);
        const largest = Math.max(...list.map(({ share }) => share));
        const total = list.reduce((sum, { share }) => sum + share / largest, 0);
        const factor = total / groups.reduce((sum, { share }) => sum + share, 0);
        for (const { query: q, share } of groups) {
          const members = [...mergedInto.keys()].filter((i) => mergedInto[i] === q);
          const own = members.reduce((sum, i) => sum + list[i]!.share / largest, 0);
          expect(Math.abs(share * factor - own)).toBeLessThanOrEqual(1e-8 * total);
          for (const i of members) {
            expect(Math.cos((list[i]!.turn - list[q]!.turn) * STEP)).toBeGreaterThan(NEAR_EQUAL);
          }
        }
        const searched = new Set(groups.map(({ query: q }) => q));
        for (const [i, into] of mergedInto.entries())
          expect(list[i]!.share === 0 ? into === i : searched.has(into)).toBe(true);
      }),
      settings,
    );
  });

  test('the order of budgets changes no candidate', () => {
    const shuffled = given.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(shuffled, limit, ([list, other], count) => {
        expect(candidates(other, count)).toEqual(candidates(list, count));
      }),
      settings,
    );
  });

  test('a query in two equal halves brings what it brings whole', () => {
    const split = given.chain((list) => fc.tuple(fc.constant(list), fc.nat(list.length - 1)));
    fc.assert(
      fc.property(split, limit, ([list, at], count) => {
        const half = { ...list[at]!, share: list[at]!.share / 2 };
        expect(candidates([...list.with(at, half), half], count)).toEqual(candidates(list, count));
      }),
      settings,
    );
  });

  test('as many as asked for, or all there are, whatever the shares', () => {
    fc.assert(
      fc.property(given, limit, (list, count) => {
        expect(new Set(candidates(list, count)).size).toBe(Math.min(count, ITEMS));
      }),
      settings,
    );
  });
});

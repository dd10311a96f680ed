import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { apportion, blend } from './budgets.js';
import type { Hits } from './top.js';

const hits = (...rows: number[]): Hits => ({
  rows: Uint32Array.from(rows),
  scores: Float32Array.from(rows, (_, rank) => 1 - rank / 1000),
});
const share = fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1, noNaN: true }));

describe('budgets', () => {
  test('places go by largest remainder', () => {
    const plenty = [99, 99, 99];
    expect(apportion(10, [0.5, 0.3, 0.2], plenty)).toEqual([5, 3, 2]);
    expect(apportion(1, [1, 1, 1], plenty)).toEqual([1, 0, 0]);
    expect(apportion(7, [3, 3, 1], plenty)).toEqual([3, 3, 1]);
    expect(apportion(10, [0.5, 0.5], [2, 99])).toEqual([2, 8]);
    expect(apportion(10, [0, 1], [99, 4])).toEqual([0, 4]);
  });

  test('places sum to what can be had, within a place of the share where all have enough', () => {
    const lists = fc.array(fc.tuple(share, fc.nat(40)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.nat(100), lists, (total, given) => {
        const shares = given.map(([s]) => s);
        const available = given.map(([, n]) => n);
        const places = apportion(total, shares, available);
        const reachable = available.reduce((sum, n, i) => sum + (shares[i]! > 0 ? n : 0), 0);
        expect(places.reduce((a, b) => a + b, 0)).toBe(Math.min(total, reachable));
        places.forEach((n, i) => {
          expect(n).toBeLessThanOrEqual(available[i]!);
        });
        const sum = shares.reduce((a, b) => a + b, 0);
        const free = apportion(
          total,
          shares,
          shares.map(() => total),
        );
        const errors = free.map((n, i) => (sum > 0 ? Math.abs(n - (total * shares[i]!) / sum) : 0));
        expect(Math.max(...errors)).toBeLessThan(1);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test('an item counts for the list that ranks it best, and lists alternate in proportion', () => {
    const merged = blend([hits(1, 2, 3, 4), hits(3, 5, 1, 6)], [1, 1], 6);
    expect([...merged.rows]).toEqual([1, 3, 2, 5, 4, 6]);
    expect([...merged.lists]).toEqual([0, 1, 0, 1, 0, 1]);
    expect([...merged.ranks]).toEqual([0, 0, 1, 1, 3, 3]);
    expect(merged.scores[5]).toBeCloseTo(0.997, 6);
    const equal = blend([hits(7, 8), hits(7, 8)], [0.2, 0.8], 2);
    expect([...equal.rows]).toEqual([7, 8]);
    expect([...equal.lists]).toEqual([0, 0]);
    expect(blend([], [], 5).rows.length).toBe(0);
  });

  test('a blend has no item twice, is as long as it can be and keeps the budgets in every prefix', () => {
    const list = fc.uniqueArray(fc.nat(60), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(fc.array(list, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (lists, limit) => {
        const shares = lists.map((_, i) => i + 1);
        const all = lists.map((rows) => hits(...rows));
        const merged = blend(all, shares, limit);
        const distinct = new Set(lists.flat());
        expect(new Set(merged.rows).size).toBe(merged.rows.length);
        expect(merged.rows.length).toBe(Math.min(limit, distinct.size));
        const brought = lists.map((_, i) => merged.lists.filter((l) => l === i).length);
        const seen = lists.map(() => 0);
        merged.rows.forEach((row, at) => {
          const from = merged.lists[at]!;
          expect(all[from]!.rows[merged.ranks[at]!]).toBe(row);
          expect(Math.min(...lists.map((rows) => (rows.includes(row) ? rows.indexOf(row) : 99)))).toBe(
            merged.ranks[at],
          );
          seen[from] = seen[from]! + 1;
          for (const [i, n] of seen.entries()) {
            expect(Math.abs(n - ((at + 1) * brought[i]!) / merged.rows.length)).toBeLessThan(lists.length);
          }
        });
      }),
      { seed: 6, numRuns: 300 },
    );
  });

  test('places are those of exact arithmetic', () => {
    const shares = fc.array(fc.nat(40), { minLength: 1, maxLength: 32 });
    fc.assert(
      fc.property(fc.nat(400), shares, (total, whole) => {
        const sum = whole.reduce((a, b) => a + b, 0);
        fc.pre(sum > 0);
        const places = whole.map((share) => Math.floor((total * share) / sum));
        const left = total - places.reduce((a, b) => a + b, 0);
        const byRemainder = [...whole.keys()].sort(
          (a, b) => ((total * whole[b]!) % sum) - ((total * whole[a]!) % sum) || a - b,
        );
        for (const i of byRemainder.slice(0, left)) places[i] = places[i]! + 1;
        const plenty = whole.map(() => total);
        for (const by of [1, 0.1, 1e-9, 1e290]) {
          expect(
            apportion(
              total,
              whole.map((share) => share * by),
              plenty,
            ),
          ).toEqual(places);
        }
      }),
      { seed: 7, numRuns: 500 },
    );
    const equal = Array<number>(32).fill(1 / 32);
    expect(
      new Set(
        apportion(
          320,
          equal,
          equal.map(() => 400),
        ),
      ),
    ).toEqual(new Set([10]));
    expect(apportion(200, [1, 1e-9], [400, 400])).toEqual([200, 0]);
    expect(apportion(200, [1, 1e-9], [150, 400])).toEqual([150, 50]);
  });
});

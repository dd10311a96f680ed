import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DiversityWindow, diversify, fullWindows, NOTHING_RECENT, recentValues, unknownBefore } from './index.js';

/** An item's values by attribute; one that is missing has none, one may be named twice. */
type Item = Readonly<Record<'colour' | 'tags', readonly string[]>>;

const value = fc.constantFrom('red', 'green', 'blue');
const item: fc.Arbitrary<Item> = fc.record({
  colour: fc.array(value, { maxLength: 1 }),
  tags: fc.array(value, { maxLength: 3 }),
});
const items = fc.array(item, { maxLength: 40 });
const rule: fc.Arbitrary<DiversityWindow> = fc.record({
  attribute: fc.constantFrom('colour', 'tags'),
  window: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constant(2 ** 32 - 1)),
  maximum: fc.integer({ min: 1, max: 3 }),
});
const rules = fc.array(rule, { maxLength: 4 });
const settings = { seed: 21, numRuns: 500 };

const valuesIn =
  (list: readonly Item[]) =>
  (i: number, attribute: string): readonly string[] =>
    list[i]![attribute as keyof Item];

/** What the contract says, counted position by position. */
function holds(chain: readonly Item[], windows: readonly DiversityWindow[]): boolean {
  return windows.every(({ attribute, window, maximum }) =>
    chain.every((_, start) => {
      const seen = chain.slice(start, start + window).map((shown) => shown[attribute as keyof Item]);
      return ['red', 'green', 'blue'].every((v) => seen.filter((values) => values.includes(v)).length <= maximum);
    }),
  );
}

/** The first item in order that the rules let stand next, by trying. */
function firstThatFits(chain: readonly Item[], waiting: readonly Item[], windows: readonly DiversityWindow[]): number {
  return waiting.findIndex((next) => holds([...chain, next], windows));
}

test('a chain of pages is what one that tries every item at every position makes, and as long', () => {
  fc.assert(
    fc.property(items, rules, fc.array(fc.integer({ min: 1, max: 7 }), { maxLength: 12 }), (list, windows, sizes) => {
      const chain: Item[] = [];
      let waiting = list;
      let recent = NOTHING_RECENT;
      for (const size of sizes) {
        const diversity = { windows, recent, valuesOf: valuesIn(waiting) };
        const page = diversify([...waiting.keys()], size, diversity);
        const left = [...waiting];
        const expected: Item[] = [];
        while (expected.length < size) {
          const at = firstThatFits([...chain, ...expected], left, windows);
          if (at < 0) break;
          expected.push(...left.splice(at, 1));
        }
        expect(page.map((i) => waiting[i])).toEqual(expected);
        recent = recentValues(page, diversity);
        expect(unknownBefore(windows, recent, chain.length + page.length)).toEqual([]);
        chain.push(...expected);
        waiting = left;
      }
      expect(holds(chain, windows)).toBe(true);
    }),
    settings,
  );
});

test('who was passed over is told the window that was full where it could have stood last', () => {
  fc.assert(
    fc.property(items, rules, fc.integer({ min: 1, max: 12 }), items, (list, windows, size, shown) => {
      const before = recentValues([...shown.keys()], { windows, recent: NOTHING_RECENT, valuesOf: valuesIn(shown) });
      const diversity = { windows, recent: before, valuesOf: valuesIn(list) };
      const order = [...list.keys()];
      const page = diversify(order, size, diversity);
      const full = fullWindows(order, page, size, diversity);
      for (const candidate of order) {
        // The last place that went to somebody behind it, or the first empty one.
        const last = page.length < size ? page.length : page.findLastIndex((other) => other > candidate);
        const why = full.get(candidate);
        if (page.includes(candidate)) expect(why).toBeUndefined();
        else if (last < 0) expect(why).toBeUndefined();
        else {
          const chain = [...shown, ...page.slice(0, last).map((i) => list[i]!), list[candidate]!];
          const { attribute, window, maximum } = windows[why!.window]!;
          const seen = chain.slice(-window).filter((i) => i[attribute as keyof Item].includes(why!.value));
          expect(seen.length).toBeGreaterThan(maximum);
        }
      }
    }),
    settings,
  );
});

test('pages that were asked for without a window do not know what it looks back to', () => {
  const windows = [{ attribute: 'colour', window: 3, maximum: 1 }];
  const known = new Map([['colour', [['red']]]]);
  expect(unknownBefore(windows, NOTHING_RECENT, 0)).toEqual([]);
  expect(unknownBefore(windows, known, 1)).toEqual([]);
  expect(unknownBefore(windows, known, 2)).toEqual(['colour']);
  expect(unknownBefore([{ ...windows[0]!, window: 1 }], NOTHING_RECENT, 5)).toEqual([]);
});

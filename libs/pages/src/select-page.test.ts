import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkDiversity, NOTHING_RECENT, orderByUtility, reasonsAgainst, selectPage, Violations } from './index.js';

const settings = { seed: 12, numRuns: 300 };

interface Candidate {
  id: string;
  utility: number;
  values: string[];
}
const candidate: fc.Arbitrary<Candidate> = fc.record({
  id: fc.string({ minLength: 1, maxLength: 4 }),
  utility: fc.oneof(fc.double({ min: -2, max: 2 }), fc.constantFrom(0, 1, Number.NaN, Number.POSITIVE_INFINITY)),
  values: fc.array(fc.constantFrom('red', 'green', 'blue'), { maxLength: 2 }),
});
const candidates = fc.uniqueArray(candidate, { selector: (c) => c.id, maxLength: 40 });
const size = fc.integer({ min: 1, max: 20 });
const window = fc.record({
  attribute: fc.constant('colour'),
  window: fc.integer({ min: 1, max: 6 }),
  maximum: fc.integer({ min: 1, max: 3 }),
});

const columns = (list: readonly Candidate[]) => ({
  itemIds: list.map((c) => c.id),
  utilities: list.map((c) => c.utility),
  valuesOf: (i: number) => (list[i] as Candidate).values,
});

test('the order is by utility, ties by item id, numbers only, whatever order they came in', () => {
  fc.assert(
    fc.property(candidates, (list) => {
      const { itemIds, utilities } = columns(list);
      const ordered = orderByUtility(itemIds, utilities).map((i) => list[i] as Candidate);
      expect(ordered.length).toBe(list.filter((c) => Number.isFinite(c.utility)).length);
      for (const [i, c] of ordered.slice(1).entries()) {
        const better = ordered[i] as Candidate;
        expect(better.utility > c.utility || (better.utility === c.utility && better.id < c.id)).toBe(true);
      }
      const reversed = columns(list.toReversed());
      const again = orderByUtility(reversed.itemIds, reversed.utilities).map((i) => reversed.itemIds[i]);
      expect(again).toEqual(ordered.map((c) => c.id));
    }),
    settings,
  );
});

test('every candidate is on the page or has one reason not to be', () => {
  fc.assert(
    fc.property(candidates, size, fc.array(window, { maxLength: 2 }), (list, pageSize, diversity) => {
      for (const order of ['utility', 'given'] as const) {
        const rules = { size: pageSize, order, diversity, recent: NOTHING_RECENT };
        const selection = selectPage(columns(list), rules);
        const { selected } = selection;
        const notShown = reasonsAgainst(selection, columns(list), rules);
        const all = [...selected, ...notShown.map((n) => n.candidate)].sort((a, b) => a - b);
        expect(all).toEqual([...list.keys()]);
        expect(selected.length).toBeLessThanOrEqual(pageSize);
        for (const { candidate, reason } of notShown) {
          expect(reason === 'not_a_number').toBe(!Number.isFinite(list[candidate]?.utility));
          if (reason === 'diversity') expect(diversity.length).toBeGreaterThan(0);
          if (reason === 'below_page') expect(selected.length).toBe(pageSize);
        }
        if (order === 'given' && diversity.length === 0) expect(selected).toEqual(selected.toSorted((a, b) => a - b));
      }
    }),
    settings,
  );
});

test('an item passed over stands further down when it fits there', () => {
  const list = [
    { id: 'a', utility: 5, values: ['red'] },
    { id: 'b', utility: 4, values: ['red'] },
    { id: 'c', utility: 3, values: ['green'] },
    { id: 'd', utility: 2, values: ['red'] },
    { id: 'e', utility: 1, values: [] },
  ];
  const diversity = [{ attribute: 'colour', window: 2, maximum: 1 }];
  const rules = { size: 4, order: 'utility', diversity, recent: NOTHING_RECENT } as const;
  const page = selectPage(columns(list), rules);
  expect(page.selected.map((i) => list[i]?.id)).toEqual(['a', 'c', 'b', 'e']);
  expect(reasonsAgainst(page, columns(list), rules)).toEqual([
    { candidate: 3, reason: 'diversity', full: { window: 0, value: 'red' } },
  ]);
});

test('diversity of an unknown attribute or an empty window is refused by field', () => {
  const violations = new Violations();
  checkDiversity([{ attribute: 'x', window: 0, maximum: 0 }], ['colour'], violations);
  expect(() => violations.throwIfAny()).toThrow(
    `diversity.windows[0].attribute: "x" is not an attribute of the release's items; diversity.windows[0].window: must be at least 1; diversity.windows[0].maximum: must be at least 1`,
  );
});

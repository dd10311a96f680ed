import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Demand, pageMs, planCells } from './cells.js';

/** Half of the people hold themselves in `enough` slots, and nine tenths come again at all. */
const saturating = (enough: number) => (slots: number) =>
  slots === Number.POSITIVE_INFINITY ? 0.9 : (0.9 * slots) / (slots + enough);
const demand: Demand = {
  qps: 1_000,
  costs: { encodeAll: 50, append: 1, rest: 20 },
  cell: { cores: 16, slots: 10_000 },
  busiest: 0.8,
  heldAt: saturating(50_000),
};

test('the fewest cells that carry the peak when one is lost', () => {
  const demands = fc.record({
    qps: fc.integer({ min: 1, max: 100_000 }),
    cores: fc.integer({ min: 1, max: 64 }),
    slots: fc.integer({ min: 10, max: 1_000_000 }),
    enough: fc.integer({ min: 10, max: 10_000_000 }),
  });
  fc.assert(
    fc.property(demands, ({ qps, cores, slots, enough }) => {
      const one = { ...demand, qps, cell: { cores, slots }, heldAt: saturating(enough) };
      const plan = planCells(one)!;
      const busyWith = (cells: number) => (qps * pageMs(one.costs, one.heldAt(cells * slots))) / 1000 / (cells * cores);
      expect(busyWith(plan.cells - 1)).toBeCloseTo(plan.busyWithOneLost, 9);
      expect(plan.busyWithOneLost).toBeLessThanOrEqual(one.busiest);
      expect(plan.busy).toBeLessThan(plan.busyWithOneLost);
      if (plan.cells > 2) expect(busyWith(plan.cells - 2)).toBeGreaterThan(one.busiest);
    }),
    { seed: 21, numRuns: 300 },
  );
});

test('memory binds where cores would be enough if all who come again were held, else CPU does', () => {
  expect(planCells(demand)!.binding).toBe('KV memory');
  expect(planCells({ ...demand, heldAt: () => 0.9 })!.binding).toBe('CPU');
});

test('what a promotion costs: all held KV made anew, on the cores that the peak leaves', () => {
  const plan = planCells({ ...demand, heldAt: () => 0.5 })!;
  expect(plan.pageMs).toBe(45.5);
  expect(plan.missMs).toBe(24.5);
  // 1,000 pages of 45.5 ms take 45.5 cores; .8 of 4 cells' 64 carry that, and one may be lost.
  expect(plan.cells).toBe(5);
  expect(plan.promotionCoreSeconds).toBe(2_500);
  expect(plan.promotionSeconds).toBeCloseTo(2_500 / (80 - 45.5), 9);
  expect(plan.moved).toBe(10_000);
});

test('no number of cells makes a page cheaper than nothing', () => {
  expect(planCells({ ...demand, qps: 1e12 })).toBeUndefined();
});

test('a cell has one event loop of each kind, however many cores it has', () => {
  const wide = { ...demand, heldAt: () => 0.9, cell: { cores: 64, slots: 10_000 } };
  expect(planCells(wide)!.binding).toBe('CPU');
  const plan = planCells({ ...wide, costs: { ...demand.costs, loop: 2 } })!;
  // 1,000 pages of 2 ms are 2 s a second, of which a cell's loop may run .8.
  expect(plan.cells).toBe(4);
  expect(plan.binding).toBe('one event loop');
  expect(plan.loopBusyWithOneLost).toBeCloseTo(2 / 3, 9);
});

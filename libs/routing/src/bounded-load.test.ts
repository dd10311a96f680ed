import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mostUnderWay, withBoundedLoad } from './index.js';

const settings = { seed: 4, numRuns: 500 };
const loads = fc.array(fc.nat(100), { minLength: 1, maxLength: 12 });

test('nobody but the overloaded loses their place in the order', () => {
  fc.assert(
    fc.property(loads, (underWay) => {
      const cells = [...underWay.keys()];
      const order = withBoundedLoad(cells, (cell) => underWay[cell]!);
      expect([...order].sort((a, b) => a - b)).toEqual(cells);
      const total = underWay.reduce((a, b) => a + b, 0);
      const isFull = (cell: number) => underWay[cell]! >= mostUnderWay(total, cells.length);
      expect(order.filter((cell) => !isFull(cell))).toEqual(cells.filter((cell) => !isFull(cell)));
      expect(order.slice(cells.filter((cell) => !isFull(cell)).length).every(isFull)).toBe(true);
      // Not all can have more than twice the mean.
      expect(isFull(order[0]!)).toBe(false);
    }),
    settings,
  );
});

test('however many ask for one cell, none gets more than its bound', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 10 }), fc.integer({ min: 1, max: 400 }), (count, calls) => {
      const underWay = new Array<number>(count).fill(0);
      for (let call = 0; call < calls; call++) {
        const [cell] = withBoundedLoad([...underWay.keys()], (one) => underWay[one]!);
        underWay[cell!]! += 1;
        expect(underWay[cell!]).toBeLessThanOrEqual(mostUnderWay(call, count));
      }
    }),
    settings,
  );
});

test('a few calls at a time stay where their KV is, and a single cell takes all', () => {
  expect(withBoundedLoad(['a', 'b'], (cell) => (cell === 'a' ? 20 : 0))).toEqual(['a', 'b']);
  expect(withBoundedLoad(['a', 'b'], (cell) => (cell === 'a' ? 21 : 0))).toEqual(['b', 'a']);
  expect(withBoundedLoad(['a', 'b', 'c'], (cell) => (cell === 'a' ? 20 : 4))).toEqual(['b', 'c', 'a']);
  expect(withBoundedLoad(['a'], () => 1_000)).toEqual(['a']);
});

test('a cell of less weight may have less under way', () => {
  const order = ['a', 'b'];
  const weightOf = (cell: string) => (cell === 'b' ? 0.1 : 1);
  const first = (a: number, b: number) => withBoundedLoad(order, (cell) => (cell === 'a' ? a : b), weightOf)[0];
  // Ten elevenths of all are its own.
  expect([first(40, 4), first(80, 8)]).toEqual(['a', 'a']);
  expect(withBoundedLoad(['b', 'a'], (cell) => (cell === 'a' ? 40 : 12), weightOf)).toEqual(['a', 'b']);
  fc.assert(
    fc.property(
      loads,
      fc.array(fc.double({ min: 0.05, max: 1, noNaN: true }), { minLength: 12 }),
      (underWay, weights) => {
        const cells = [...underWay.keys()];
        const one = withBoundedLoad(
          cells,
          (cell) => underWay[cell]!,
          (cell) => weights[cell]!,
        );
        expect([...one].sort((a, b) => a - b)).toEqual(cells);
        const total = underWay.reduce((a, b) => a + b, 0);
        const sum = cells.reduce((all, cell) => all + weights[cell]!, 0);
        expect(underWay[one[0]!]).toBeLessThan(mostUnderWay(total, sum / weights[one[0]!]!));
      },
    ),
    settings,
  );
});

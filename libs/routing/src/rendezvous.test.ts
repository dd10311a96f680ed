import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cellOrder, drawsOf, homeOf, orderByWeight, personKey } from './index.js';

const persons = Array.from({ length: 4000 }, (_, i) => personKey({ id: { case: 'userId', value: `user-${i}` } })!);
const cells = ['10.0.0.1:50051', '10.0.0.2:50051', '10.0.0.3:50051', '10.0.0.4:50051', '10.0.0.5:50051'];
const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 12 });
const person = fc.integer({ min: 0, max: persons.length - 1 }).map((i) => persons[i]!);
const weight = fc.double({ min: 0.01, max: 1, noNaN: true });
const law = { seed: 7, numRuns: 300 };

test('the order is a permutation that does not depend on how the cells were listed', () => {
  for (const person of persons.slice(0, 50)) {
    const order = cellOrder(person, cells);
    expect([...order].sort()).toEqual(cells);
    expect(cellOrder(person, [...cells].reverse())).toEqual(order);
  }
});

test('first and second choices spread evenly over the cells', () => {
  for (const choice of [0, 1]) {
    const held = new Map<string, number>();
    for (const person of persons) {
      const cell = cellOrder(person, cells)[choice]!;
      held.set(cell, (held.get(cell) ?? 0) + 1);
    }
    const mean = persons.length / cells.length;
    // Five standard deviations of a fair draw are 127 persons of 800.
    for (const cell of cells) expect(Math.abs((held.get(cell) ?? 0) - mean)).toBeLessThan(127);
  }
});

test('a lost cell moves only its own persons, each to the second choice, and 1/N of all', () => {
  let moved = 0;
  for (const person of persons) {
    const before = cellOrder(person, cells);
    const lost = cells[2]!;
    const after = cellOrder(
      person,
      cells.filter((cell) => cell !== lost),
    );
    expect(after).toEqual(before.filter((cell) => cell !== lost));
    if (before[0] !== after[0]) moved++;
  }
  expect(moved / persons.length).toBeLessThanOrEqual(1 / cells.length + 0.05);
});

test('no cells, no order', () => {
  expect(cellOrder(persons[0]!, [])).toEqual([]);
  expect(homeOf([])).toBeUndefined();
});

test('equal weights, whatever they are, give the order without weights; its first is the home', () => {
  fc.assert(
    fc.property(person, names, weight, (who, cells, equal) => {
      const order = cellOrder(who, cells);
      expect(cellOrder(who, cells, () => equal)).toEqual(order);
      expect(homeOf(drawsOf(who, cells))).toBe(order[0]);
    }),
    law,
  );
});

test('the scores agree with the bits: one cell counted a hair less than the others leaves the rest in their order', () => {
  fc.assert(
    fc.property(person, names, fc.nat(), (who, cells, nth) => {
      const less = cells[nth % cells.length]!;
      const order = cellOrder(who, cells, (cell) => (cell === less ? 1 - 1e-9 : 1));
      const others = (all: readonly string[]) => all.filter((cell) => cell !== less);
      expect(others(order)).toEqual(others(cellOrder(who, cells)));
    }),
    law,
  );
});

test('raising one weight moves that cell forward, and nobody else past anybody', () => {
  const weights = fc.array(weight, { minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(person, names, weights, fc.nat(), fc.double({ min: 1, max: 20, noNaN: true }), (...drawn) => {
      const [who, cells, weights, nth, factor] = drawn;
      const raised = cells[nth % cells.length]!;
      const weightOf = (cell: string) => weights[cells.indexOf(cell)]!;
      const before = cellOrder(who, cells, weightOf);
      const after = cellOrder(who, cells, (cell) => weightOf(cell) * (cell === raised ? factor : 1));
      const others = (all: readonly string[]) => all.filter((cell) => cell !== raised);
      expect(others(after)).toEqual(others(before));
      expect(after.indexOf(raised)).toBeLessThanOrEqual(before.indexOf(raised));
    }),
    law,
  );
});

test('each cell gets its weight of the persons; a cell that joins grows from nothing to 1/N without taking one back', () => {
  const joining = cells[4]!;
  let before = new Set<string>();
  for (const share of [0, 0.05, 0.3, 0.7, 1]) {
    const held = persons.filter((who) => {
      const weightOf = (cell: string) => (cell === joining ? share : 1);
      return cellOrder(who, cells, weightOf)[0] === joining;
    });
    const now = new Set(held);
    expect([...before].filter((who) => !now.has(who))).toEqual([]);
    expect(Math.abs(held.length / persons.length - share / (4 + share))).toBeLessThan(0.03);
    before = now;
  }
  expect(before.size / persons.length).toBeLessThanOrEqual(1 / 5 + 0.05);
});

test('bits at both ends have their place too, and no weight is the last one', () => {
  const draws = [
    { cell: 'least', bits: 0n },
    { cell: 'most', bits: 2n ** 64n - 1n },
    { cell: 'none', bits: 2n ** 64n - 1n },
  ];
  const weights: Record<string, number> = { least: 1, most: 0.5, none: 0 };
  expect(orderByWeight(draws, (cell) => weights[cell]!).map(({ cell }) => cell)).toEqual(['most', 'least', 'none']);
});

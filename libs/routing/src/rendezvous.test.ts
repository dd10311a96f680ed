import { expect, test } from 'vitest';
import { cellOrder, personKey } from './index.js';

const persons = Array.from({ length: 4000 }, (_, i) => personKey({ id: { case: 'userId', value: `user-${i}` } })!);
const cells = ['10.0.0.1:50051', '10.0.0.2:50051', '10.0.0.3:50051', '10.0.0.4:50051', '10.0.0.5:50051'];

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

test('a lost cell moves only its own persons, each to the second choice', () => {
  for (const person of persons) {
    const before = cellOrder(person, cells);
    const lost = cells[2]!;
    expect(
      cellOrder(
        person,
        cells.filter((cell) => cell !== lost),
      ),
    ).toEqual(before.filter((cell) => cell !== lost));
  }
});

test('no cells, no order', () => {
  expect(cellOrder(persons[0]!, [])).toEqual([]);
});

import type { ActivePerson } from '@onepass/history';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ActiveLast, thatFit } from './people.js';

const person = (id: number, lastMs: number): ActivePerson => ({ person: `p${id}`, lastMs, events: 1 });
const keys = (people: readonly ActivePerson[]) => people.map((one) => one.person);
const told = fc.array(fc.record({ id: fc.nat(40), lastMs: fc.nat(20) }), { maxLength: 200 });

test('of all who were told those active last are kept, in order, each once', () => {
  fc.assert(
    fc.property(told, fc.integer({ min: 1, max: 30 }), (all, most) => {
      // A store tells the same of a person twice, if it does.
      const people = [...new Map(all.map(({ id, lastMs }) => [id, person(id, lastMs)])).values()];
      const last = new ActiveLast(most);
      for (const one of [...people, ...people.slice(0, 5)]) last.add(one);
      const wanted = people.sort((a, b) => b.lastMs - a.lastMs || (a.person < b.person ? -1 : 1)).slice(0, most);
      expect(last.inOrder()).toEqual(wanted.reverse());
    }),
    { seed: 3, numRuns: 300 },
  );
});

test('however many are told, whoever was active long ago too is counted', () => {
  const last = new ActiveLast(2);
  for (let id = 0; id < 100; id++) last.add(person(id, id));
  expect(keys(last.inOrder())).toEqual(['p98', 'p99']);
  last.add(person(7, 7));
  expect(keys(last.inOrder())).toEqual(['p98', 'p99']);
  expect(last.told).toBe(101);
  expect(new ActiveLast(Number.POSITIVE_INFINITY).inOrder()).toEqual([]);
});

test('those active last have the room that there is', () => {
  const people = [person(1, 1), person(2, 2), person(3, 3)];
  const bytesOf = ({ lastMs }: ActivePerson) => 10 * lastMs;
  expect([60, 59, 50, 49, 30, 29].map((room) => keys(thatFit(people, bytesOf, room)).length)).toEqual([
    3, 2, 2, 1, 1, 0,
  ]);
  expect(keys(thatFit(people, bytesOf, 50))).toEqual(['p2', 'p3']);
});

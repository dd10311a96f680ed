import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EvictionOrder } from './eviction-order.js';

const PLACES = 10;
const persons = fc.constantFrom(...'abcdefghijklmno');

/** Keeps `PLACES` persons who come in this order; answers those who found themselves kept. */
function kept(order: EvictionOrder, visits: Iterable<string>): string[] {
  const held = new Set<string>();
  const hits: string[] = [];
  for (const person of visits) {
    if (held.has(person)) {
      order.use(person);
      hits.push(person);
      continue;
    }
    if (held.size === PLACES) {
      const [victim] = order.victims() as Iterable<string>;
      order.giveWay(victim!);
      held.delete(victim!);
    }
    order.add(person);
    held.add(person);
  }
  expect(new Set(order.victims())).toEqual(held);
  return hits;
}

const inTurn = (order: EvictionOrder) => [...order.victims()].join('');

test('everybody held is a victim once, whatever came before', () => {
  fc.assert(
    fc.property(fc.array(persons, { maxLength: 200 }), (visits) => {
      const order = new EvictionOrder(PLACES);
      kept(order, visits);
      expect([...order.victims()].length).toBe(order.size);
    }),
    { seed: 3, numRuns: 300 },
  );
});

test('people who come once, however many, do not take the places of those who come again', () => {
  const regulars = [...'abcde'];
  const scan = Array.from({ length: 1_000 }, (_, i) => `once ${i}`);
  const order = new EvictionOrder(PLACES);
  expect(kept(order, [...regulars, ...regulars, ...scan, ...regulars])).toEqual([...regulars, ...regulars]);
});

test('of those who come again, the one who did so longest ago goes back on probation', () => {
  const order = new EvictionOrder(4);
  for (const person of 'abc') order.add(person);
  for (const person of 'abc') order.use(person);
  expect(inTurn(order)).toBe('abc');
  order.add('d');
  expect(inTurn(order)).toBe('adbc');
  order.use('a');
  expect(inTurn(order)).toBe('dbca');
});

test('who gave way is protected when they come again, unless so many gave way since that nobody remembers, or they were forgotten', () => {
  const order = new EvictionOrder(4);
  for (const person of 'abc') order.add(person);
  order.giveWay('a');
  order.add('a');
  expect(inTurn(order)).toBe('bca');
  for (const person of 'adefg') order.giveWay(person);
  order.add('a');
  order.add('d');
  expect(inTurn(order)).toBe('bcad');
  order.delete('e');
  order.add('f');
  order.add('e');
  expect(inTurn(order)).toBe('bcadef');
});

test('a scan protects nobody, neither by coming again nor by being remembered', () => {
  const order = new EvictionOrder(8);
  for (const person of 'abc') order.add(person);
  order.giveWay('a');
  order.add('a', 1, 'scan');
  order.add('d');
  expect(inTurn(order)).toBe('bcad');
});

test('of the room for all, half may be protected, however many persons that is', () => {
  const order = new EvictionOrder(10);
  for (const person of 'abcd') order.add(person, 2);
  for (const person of 'abc') order.use(person);
  expect(inTurn(order)).toBe('dabc');
  order.use('d');
  expect(inTurn(order)).toBe('abcd');
  order.weigh('d', 4);
  order.use('a');
  expect(inTurn(order)).toBe('bcda');
  order.weigh('a', 1);
  order.weigh('d', 1);
  order.use('d');
  expect(inTurn(order)).toBe('bcad');
});

test('nobody is made of a visit of somebody unknown, and with a single place there is nobody to protect', () => {
  const order = new EvictionOrder(1);
  order.use('nobody');
  order.add('a');
  order.use('a');
  expect(inTurn(order)).toBe('a');
});

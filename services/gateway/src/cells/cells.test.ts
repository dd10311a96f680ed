import type { ServiceHealth } from '@onepass/contracts';
import { type CellLine, personKey } from '@onepass/routing';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Cell } from './cell.js';
import { Cells } from './cells.js';

const WARM_UP_MS = 10_000;
/** Nobody is called: who is asked is all that counts. By address, what its health says; serving where nothing is said. */
let health: Map<string, ServiceHealth>;
let closed: string[];
let measurements: Measurements;
let opened: Cells[];
beforeEach(() => {
  vi.useFakeTimers();
  [health, closed, measurements, opened] = [new Map(), [], new Measurements('gateway'), []];
});
afterEach(() => {
  for (const cells of opened) cells.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const connect = (address: string) => ({
  client: () => ({}) as never,
  health: async () => health.get(address) ?? 'serving',
  close: () => void closed.push(address),
});
const line = (name: string, more: Partial<CellLine> = {}): CellLine => ({
  name,
  encoder: `${name}:1`,
  ranking: `${name}:2`,
  state: 'serving',
  ...more,
});
const now = () => Date.now();
function newCells(lines = ['a', 'b', 'c'].map((name) => line(name))): Cells {
  const cells = new Cells(lines, { connect, warmUpMs: WARM_UP_MS, logger: silentLogger, measurements, now });
  opened.push(cells);
  return cells;
}
const PERSON = personKey({ id: { case: 'userId', value: 'ada' } })!;
const people = Array.from({ length: 600 }, (_, i) => personKey({ id: { case: 'userId', value: `user-${i}` } })!);
const firsts = (cells: Cells) => people.map((person) => cells.inOrder(person)[0]!.name);
const share = (names: readonly string[], name: string) => names.filter((one) => one === name).length / names.length;
const states = () =>
  Object.fromEntries(
    ['joining', 'serving', 'draining', 'passed_over'].flatMap((state) => {
      const count = measurements.snapshot()[`onepass.cells{onepass.cell.state="${state}"}`]!;
      return count === 0 ? [] : [[state, count]];
    }),
  );
const moved = (reason: string) => measurements.snapshot()[`onepass.pages.moved{onepass.move.reason="${reason}"}`];
const named = (cells: Cells, name: string): Cell => cells.holders().find((cell) => cell.name === name)!;
const stateOf = (cells: Cells, name: string) => named(cells, name).life.stateAt(now());
const after = (ms: number) => vi.advanceTimersByTimeAsync(ms);

test('a hot person stays at their cell until it is far behind the others, and comes back to it', async () => {
  const cells = newCells();
  const [own, second] = cells.inOrder(PERSON);
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const asked: unknown[] = [];
  const pages = Array.from({ length: 40 }, () =>
    cells.use(PERSON, async ([first]) => {
      asked.push(first);
      await ended;
    }),
  );
  const elsewhere = asked.findIndex((cell) => cell !== own);
  expect(elsewhere).toBeGreaterThan(8);
  expect(asked[elsewhere]).toBe(second);
  expect(moved('load')).toBe(asked.filter((cell) => cell !== own).length);
  end();
  await Promise.all(pages);
  await cells.use(PERSON, async ([first]) => expect(first).toBe(own));
});

test('what fails is not under way any more', async () => {
  const cells = newCells();
  for (let page = 0; page < 100; page++) {
    await expect(cells.use(PERSON, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  }
  expect(cells.inOrder(PERSON).map(({ underWay }) => underWay)).toEqual([0, 0, 0]);
});

test('a cell that cannot be reached comes last, however much the others have under way, until it is seen to serve', async () => {
  const cells = newCells();
  const [own, second, third] = cells.inOrder(PERSON) as [Cell, Cell, Cell];
  own.told('encoder', 'unreachable', 1);
  health.set(own.line.ranking, 'unreachable');
  second.underWay = 1_000;
  await cells.use(PERSON, async (order) => expect(order).toEqual([third, second, own]));
  expect([moved('passed_over'), states()]).toEqual([1, { serving: 2, passed_over: 1 }]);
  // Its encoder answers; that alone makes no page.
  own.told('encoder', 'answered', 1);
  await after(1_500);
  expect(cells.inOrder(PERSON).at(-1)).toBe(own);
  health.delete(own.line.ranking);
  second.underWay = 0;
  await after(500);
  expect(cells.inOrder(PERSON)[0]).toBe(own);
  expect(states()).toEqual({ serving: 3 });
});

test('a new cell is waited for, takes a few people first and then its share, and nobody else moves', async () => {
  const cells = newCells();
  const before = firsts(cells);
  health.set('d:1', 'unreachable');
  cells.follow([...['a', 'b', 'c', 'd'].map((name) => line(name))]);
  await after(60_000);
  expect([firsts(cells), states()]).toEqual([before, { serving: 3, passed_over: 1 }]);
  health.delete('d:1');
  await after(1_000);
  expect(states()).toEqual({ serving: 3, joining: 1 });
  const taken: number[] = [];
  for (let step = 0; step < 4; step++) {
    const names = firsts(cells);
    expect(names.every((name, i) => name === 'd' || name === before[i])).toBe(true);
    taken.push(share(names, 'd'));
    await after(WARM_UP_MS / 3);
  }
  expect(taken[0]).toBeLessThan(0.1);
  expect(taken).toEqual([...taken].sort((a, b) => a - b));
  expect(share(firsts(cells), 'd')).toBeLessThanOrEqual(1 / 4 + 0.05);
  expect(states()).toEqual({ serving: 4 });
  expect(measurements.snapshot()['onepass.cells.weight']).toBe(4);
});

test('draining by the operator, and by what the cell says of itself: its people move, the others stay, and all come back', async () => {
  const cells = newCells();
  const before = firsts(cells);
  const drained = () => firsts(cells).every((name, i) => (before[i] === 'a' ? name !== 'a' : name === before[i]));
  cells.follow([line('a', { state: 'draining' }), line('b'), line('c')]);
  expect([drained(), states(), closed]).toEqual([true, { serving: 2, draining: 1 }, []]);
  cells.follow(['a', 'b', 'c'].map((name) => line(name)));
  expect(firsts(cells)).toEqual(before);
  health.set('a:2', 'not_serving');
  await after(1_000);
  expect([drained(), states()]).toEqual([true, { serving: 2, draining: 1 }]);
  health.clear();
  await after(1_000);
  expect(firsts(cells)).toEqual(before);
});

test('when nobody else can be reached, a draining cell is asked', async () => {
  const cells = newCells([line('a', { state: 'draining' }), line('b'), line('c')]);
  for (const name of ['b', 'c']) named(cells, name).told('encoder', 'unreachable', 1);
  expect(new Set(firsts(cells))).toEqual(new Set(['a']));
  named(cells, 'a').told('encoder', 'unreachable', 1);
  // Nobody at all: each is tried in the usual order.
  expect(share(firsts(cells), 'a')).toBeLessThan(0.5);
});

test('a name keeps its people when its addresses change; the old processes are asked to forget until they have ended', async () => {
  const cells = newCells();
  const before = firsts(cells);
  named(cells, 'a').toldPool('pool');
  cells.follow([line('a', { encoder: 'n:1', ranking: 'n:2' }), line('b'), line('c')]);
  await after(10);
  expect(cells.holders().map(({ line }) => line.encoder)).toEqual(['n:1', 'b:1', 'c:1', 'a:1']);
  // The same pool came along: no warm-up.
  cells.holders()[0]!.toldPool('pool');
  expect([firsts(cells), states()]).toEqual([before, { serving: 3 }]);
  health.set('a:1', 'unreachable');
  await after(30_000);
  expect([cells.holders().length, closed]).toEqual([4, []]);
  await after(40_000);
  expect([cells.holders().length, closed.sort()]).toEqual([3, ['a:1', 'a:2']]);
});

test('a cell that leaves gets nobody, may hold KV as long as it answers, and comes back as it was', async () => {
  const cells = newCells();
  const before = firsts(cells);
  named(cells, 'b').toldPool('pool');
  cells.follow([line('a'), line('c')]);
  expect(new Set(firsts(cells))).toEqual(new Set(['a', 'c']));
  expect(before.every((name, i) => name === 'b' || name === firsts(cells)[i])).toBe(true);
  await after(600_000);
  expect([cells.holders().length, closed, states()]).toEqual([3, [], { serving: 2 }]);
  cells.follow(['a', 'b', 'c'].map((name) => line(name)));
  expect([firsts(cells), closed]).toEqual([before, []]);
});

test('a cell is closed once its pages are done, and at once when another is named at its address', async () => {
  const cells = newCells();
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const page = cells.use(PERSON, () => ended);
  const [own] = cells.inOrder(PERSON) as [Cell];
  const others = ['a', 'b', 'c'].filter((name) => name !== own.name).map((name) => line(name));
  const renamed = line('new', { encoder: own.line.encoder, ranking: own.line.ranking });
  cells.follow([renamed, ...others]);
  await after(2_000);
  expect(closed).toEqual([]);
  end();
  await page;
  await after(2_000);
  expect(closed.sort()).toEqual([own.line.encoder, own.line.ranking].sort());
  expect(
    cells
      .holders()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['new', ...others.map(({ name }) => name)].sort());
});

test('swapped addresses: the cell is passed over, and not looked at all the time', async () => {
  for (const address of ['d:1', 'd:2']) health.set(address, 'unknown_service');
  const cells = newCells();
  const before = firsts(cells);
  cells.follow(['a', 'b', 'c', 'd'].map((name) => line(name)));
  await after(20_000);
  expect([stateOf(cells, 'd'), firsts(cells)]).toEqual(['passed_over', before]);
  health.clear();
  await after(10_000);
  expect(stateOf(cells, 'd')).toBe('joining');
});

test('KV made anew elsewhere: a cell that answers from another pool joins again', () => {
  const cells = newCells();
  named(cells, 'a').toldPool('one');
  named(cells, 'a').toldPool('');
  named(cells, 'a').toldPool('two');
  expect(states()).toEqual({ serving: 2, joining: 1 });
});

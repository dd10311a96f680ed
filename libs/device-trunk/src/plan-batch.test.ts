import { FAIR_TURN, PRIORITIES, type Priority } from '@onepass/admission';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AskLine } from './ask-line.js';
import { Buckets, type EncodeSizes, encodeWork, hasColumns, rankWork, workOf } from './buckets.js';
import { type AskedEncode, type AskedRank, type Batch, planBatch } from './plan-batch.js';

const SHAPE = { width: 64, pageTokens: 4, capacity: 64, contextRows: 2, candidates: 64, prefill: false };
const buckets = new Buckets(SHAPE, { people: 4, slates: 8, padding: 0.4, most: 2048 });

type Ask = (AskedEncode | AskedRank) & { readonly priority: Priority; readonly dueMs: number; readonly id: number };
let ids = 0;

function encode(person: string, from: number, rows: number, more: Partial<Ask> = {}): Ask {
  const sizes = { b: 1, g: Math.ceil((from + rows) / 4), m: rows };
  const work = workOf(SHAPE, rows, from + rows);
  return {
    kind: 'encode',
    person,
    sizes,
    held: from,
    work,
    alone: false,
    priority: 'interactive',
    dueMs: 0,
    id: ids++,
    ...more,
  } as Ask;
}

function rank(person: string, past: number, k: number, more: Partial<Ask> = {}): Ask {
  const sizes = { b: 1, s: 1, g: Math.max(1, Math.ceil(past / 4)), c: 1, k };
  const work = workOf(SHAPE, 1 + k, past + 1);
  const of = { kind: 'rank', person, past: `${person}:${past}`, sizes, work, alone: false } as const;
  return { ...of, priority: 'interactive', dueMs: 0, id: ids++, ...more } as Ask;
}

const all = { buckets, isFree: () => true, allows: () => true };
const people = (batch: Batch<Ask> | undefined) => batch?.entries.map((entry) => entry.map(({ person }) => person));

test('people of one length share a run; the bucket names all of its sizes', () => {
  const batch = planBatch(
    ['a', 'b', 'c'].map((person) => rank(person, 60, 64)),
    all,
  );
  expect(people(batch)).toEqual([['a'], ['b'], ['c']]);
  expect(batch!.sizes).toEqual({ b: 4, s: 1, g: 16, c: 1, k: 64 });
});

test('two asks to rank of one person are two slates of one entry; of another past they wait', () => {
  const batch = planBatch([rank('a', 60, 64), rank('a', 60, 60), rank('a', 61, 64)], all);
  expect(people(batch)).toEqual([['a', 'a']]);
  expect(batch!.sizes).toMatchObject({ b: 1, s: 2 });
});

test('an append does not wait in the padding of a long encode, nor a person behind themselves', () => {
  const asks = [encode('a', 0, 60), encode('b', 60, 1), encode('a', 60, 2), encode('c', 0, 58)];
  expect(people(planBatch(asks, all))).toEqual([['a'], ['c']]);
  expect(people(planBatch(asks, { ...all, isFree: ({ person }) => person !== 'a' }))).toEqual([['b']]);
});

test('who was in a run that failed is alone in the next', () => {
  const [a, b, c] = [rank('a', 60, 64), rank('b', 60, 64, { alone: true }), rank('c', 60, 64)];
  expect(people(planBatch([b, a, c], all))).toEqual([['b']]);
  expect(people(planBatch([a, b, c], all))).toEqual([['a'], ['c']]);
});

test('where a bucket is not to be had, fewer people go', () => {
  const asks = ['a', 'b', 'c', 'd'].map((person) => rank(person, 60, 64));
  const some = { ...all, allows: (_: string, { b }: { b: number }) => b < 4 };
  expect(people(planBatch(asks, some))).toEqual([['a'], ['b']]);
  expect(people(planBatch(asks, { ...all, allows: () => false }))).toEqual([['a']]);
});

test('nobody joins where too much of the run would be padding for them', () => {
  expect(people(planBatch([rank('a', 60, 64), rank('b', 60, 4), rank('c', 60, 60)], all))).toEqual([['a'], ['c']]);
});

const person = fc.constantFrom<string[]>('a', 'b', 'c', 'd', 'e', 'f');
const placed = fc.record({ priority: fc.constantFrom(...PRIORITIES), dueMs: fc.nat(50) });
const anyAsk = fc.oneof(
  fc
    .tuple(person, fc.nat(30), fc.integer({ min: 1, max: 30 }), placed)
    .map(([who, from, rows, more]) => encode(who, from, rows, more)),
  fc
    .tuple(person, fc.constantFrom(0, 10, 60), fc.constantFrom(1, 20, 60, 64), placed)
    .map(([who, past, k, more]) => rank(who, past, k, more)),
);
const busy = fc.uniqueArray(person, { maxLength: 3 });

test('every run is within its bucket, has a person once, begins with who is first, and passes over nobody who fits', () => {
  fc.assert(
    fc.property(fc.array(anyAsk, { minLength: 1, maxLength: 24 }), busy, (asks, working) => {
      const line = new AskLine<Ask>();
      for (const ask of asks) line.add(ask);
      const isFree = (ask: Ask) => ask.kind === 'rank' || !working.includes(ask.person);
      const rules = { ...all, isFree };
      const inTurn = [...line.inTurn()].filter(isFree);
      const batch = planBatch(line.inTurn(), rules);
      expect(batch === undefined).toBe(inTurn.length === 0);
      if (batch === undefined) return;
      const { sizes, entries } = batch;
      const chosen = entries.flat();
      expect(chosen).toContain(inTurn[0]);
      expect(new Set(entries.map(([first]) => first!.person)).size).toBe(entries.length);
      for (const entry of entries)
        expect(new Set(entry.map((ask) => (ask.kind === 'rank' ? ask.past : ask.id))).size).toBe(1);
      expect(entries.length).toBeLessThanOrEqual(sizes.b);
      for (const { kind, sizes: own } of chosen) {
        expect(kind).toBe(batch.kind);
        expect(Object.entries({ ...own, b: 0, s: 0 }).every(([name, size]) => size <= (sizes[name as 'b'] ?? 0))).toBe(
          true,
        );
      }
      for (const ask of chosen)
        if (ask.kind === 'encode') expect(hasColumns(SHAPE, sizes as EncodeSizes, ask.held)).toBe(true);
      const work = 'm' in sizes ? encodeWork(SHAPE, sizes) : rankWork(SHAPE, sizes);
      const padding = 1 - chosen.reduce((sum, ask) => sum + ask.work, 0) / work;
      if (chosen.length > 1) {
        const first = planBatch([inTurn[0]!], all)!.sizes;
        const alone = 1 - inTurn[0]!.work / ('m' in first ? encodeWork(SHAPE, first) : rankWork(SHAPE, first));
        expect(padding).toBeLessThanOrEqual(Math.max(buckets.options.padding, alone) + 1e-9);
      }
      // Who was passed over by somebody behind them would not have fitted with those before them.
      const last = inTurn.findLastIndex((ask) => chosen.includes(ask));
      for (const [at, passed] of inTurn.slice(0, last).entries()) {
        if (chosen.includes(passed)) continue;
        const before = inTurn.slice(0, at).filter((ask) => chosen.includes(ask));
        const joined = planBatch([...before, passed], all)!.entries.flat();
        expect(joined).not.toContain(passed);
      }
    }),
    { seed: 3, numRuns: 500 },
  );
});

test('everybody has a turn, whatever comes after them', () => {
  const arrivals = fc.array(fc.array(anyAsk, { maxLength: 3 }), { minLength: 40, maxLength: 40 });
  fc.assert(
    fc.property(anyAsk, arrivals, (patient, arriving) => {
      const line = new AskLine<Ask>();
      const waiting = { ...patient, priority: 'batch' as const, dueMs: 1e9 };
      line.add(waiting);
      // A stream of asks of the highest priority, all due earlier, and a batch of each turn's own.
      for (let turn = 0; turn < FAIR_TURN + 1; turn++) {
        for (const ask of arriving[turn]!) line.add({ ...ask, priority: 'interactive' });
        line.add(rank('z', 0, 1));
        const taken = planBatch(line.inTurn(), all)!.entries.flat();
        line.take(taken);
        if (taken.includes(waiting)) return;
      }
      expect.fail('it was passed over too often');
    }),
    { seed: 4, numRuns: 100 },
  );
});

test('ahead of who comes are those of higher priorities, and of their own those due before: nobody of a lower one, whose turn it may be', () => {
  fc.assert(
    fc.property(fc.array(placed, { maxLength: 40 }), placed, fc.nat(40), (waiting, one, turns) => {
      const line = new AskLine<Ask>();
      for (const place of waiting) line.add(rank('a', 0, 1, place));
      for (let turn = 0; turn < turns; turn++) line.take([...line.inTurn()].slice(0, 1));
      const ahead = [...line.ahead(one)];
      const left = [...line.inTurn()];
      const rankOf = ({ priority }: { priority: Priority }) => PRIORITIES.indexOf(priority);
      expect(new Set(ahead)).toEqual(
        new Set(
          left.filter((ask) => rankOf(ask) < rankOf(one) || (rankOf(ask) === rankOf(one) && ask.dueMs <= one.dueMs)),
        ),
      );
    }),
    { seed: 6, numRuns: 200 },
  );
});

test('of a priority, what is due first goes first; a full line gives up what is due last of the lowest', () => {
  const line = new AskLine<Ask>();
  const [late, soon, low, lower] = [
    rank('a', 0, 1, { dueMs: 9 }),
    rank('b', 0, 1, { dueMs: 3 }),
    rank('c', 0, 1, { dueMs: 1, priority: 'batch' }),
    rank('d', 0, 1, { dueMs: 2, priority: 'batch' }),
  ] as const;
  for (const ask of [late, soon, lower, low]) line.add(ask);
  expect([...line.inTurn()]).toEqual([soon, late, low, lower]);
  expect(line.displace('batch')).toBeUndefined();
  expect(line.displace('interactive')).toBe(lower);
  expect(line.remove(lower)).toBe(false);
  expect(line.remove(low)).toBe(true);
  expect(line.displace('prefetch')).toBeUndefined();
  expect(line.length).toBe(2);
});

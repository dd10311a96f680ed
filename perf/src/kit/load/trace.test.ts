import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makeTrace, peopleNeeded, plainTrace, usualTrace, visitsOf } from './trace.js';
import { positionChances } from './trace-actions.js';
import type { TraceActions, TraceEvent, TracePage, TraceParameters } from './trace-events.js';

const BASE: TraceParameters = { ...usualTrace(), seed: 1, durationMs: 60_000, qps: 50, people: 2_000 };
const RUNS = { seed: 6, numRuns: 25 };

const pagesOf = (trace: readonly TraceEvent[]) => trace.filter((event): event is TracePage => event.kind === 'page');
const actionsOf = (trace: readonly TraceEvent[]) =>
  trace.filter((event): event is TraceActions => event.kind === 'actions');

/** Gap of each page to its person's last one; infinite for a first one. */
function gapsOf(pages: readonly TracePage[]): number[] {
  const last = new Map<number, number>();
  return pages.map(({ person, atMs }) => {
    const gap = atMs - (last.get(person) ?? Number.NEGATIVE_INFINITY);
    last.set(person, atMs);
    return gap;
  });
}

const share = <T>(values: readonly T[], holds: (value: T) => boolean) => values.filter(holds).length / values.length;

const parameters: fc.Arbitrary<TraceParameters> = fc
  .record({
    seed: fc.integer(),
    qps: fc.integer({ min: 5, max: 120 }),
    returning: fc.double({ min: 0, max: 0.95, noNaN: true }),
    pagesPerSession: fc.integer({ min: 1, max: 8 }),
    actionsPerPage: fc.double({ min: 0, max: 30, noNaN: true }),
    skew: fc.double({ min: 0, max: 1.2, noNaN: true }),
    joining: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map((some) => ({ ...BASE, durationMs: 20_000, people: 8_000, ...some }));

test('times rise, lie within the trace, and nobody is in two places', () => {
  fc.assert(
    fc.property(parameters, (some) => {
      const trace = makeTrace(some);
      const times = trace.map(({ atMs }) => atMs);
      expect(times.every((ms, i) => ms >= (times[i - 1] ?? 0) && ms < some.durationMs)).toBe(true);
      expect(gapsOf(pagesOf(trace)).every((gap) => gap > 149.9)).toBe(true);
    }),
    RUNS,
  );
});

test('the same seed gives the same trace, another one another', () => {
  fc.assert(
    fc.property(parameters, (some) => {
      const trace = makeTrace(some);
      expect(makeTrace({ ...some })).toEqual(trace);
      expect(makeTrace({ ...some, seed: some.seed + 1 })).not.toEqual(trace);
    }),
    { ...RUNS, numRuns: 5 },
  );
});

test('pages come at the rate, and return, act and vary as the parameters say', () => {
  fc.assert(
    fc.property(parameters, (given) => {
      const some = { ...given, durationMs: 60_000, people: 20_000 };
      const trace = makeTrace(some);
      const pages = pagesOf(trace);
      const expected = (some.qps * some.durationMs) / 1000;
      // Four standard deviations of as many that come each on its own.
      expect(Math.abs(pages.length - expected)).toBeLessThan(4 * Math.sqrt(expected));
      const settled = gapsOf(pages).filter((_, i) => pages[i]!.atMs > 2_000);
      const seen = share(settled, (gap) => gap <= some.horizonMs);
      expect(Math.abs(seen - some.returning)).toBeLessThan(0.02 + 2 / Math.sqrt(settled.length));
      const acted = actionsOf(trace).reduce(
        (sum, { positions, elsewhere }) => sum + positions.length + elsewhere.length,
        0,
      );
      // The last ones would come after the end.
      expect(acted / pages.length).toBeLessThan(some.actionsPerPage + 0.2);
      expect(acted / pages.length).toBeGreaterThan(0.9 * some.actionsPerPage - 0.2);
      expect(share(pages, ({ surface }) => surface === 'related')).toBeCloseTo(0.1, 1);
      expect(share(pages, ({ surface }) => surface === 'search')).toBeCloseTo(0.05, 1);
    }),
    RUNS,
  );
});

test('people act on what they have, before their next page', () => {
  const trace = makeTrace(BASE);
  const pages = pagesOf(trace);
  for (const { page, person, atMs, positions } of actionsOf(trace)) {
    const own = pages[page]!;
    expect(own.person).toBe(person);
    expect(atMs).toBeGreaterThan(own.atMs);
    const next = pages.find((other) => other.person === person && other.atMs > own.atMs);
    if (next !== undefined) expect(atMs).toBeLessThan(next.atMs);
    for (const position of positions) expect(position).toBeLessThan(BASE.pageSize);
  }
});

test('newcomers bring their history before their first page', () => {
  const trace = makeTrace({ ...BASE, joining: 0.5 });
  const joins = trace.filter((event) => event.kind === 'join');
  expect(joins.length).toBeGreaterThan(100);
  for (const { person, atMs } of joins) {
    const first = pagesOf(trace).find((page) => page.person === person);
    expect(first!.atMs).toBeGreaterThan(atMs);
    expect(person).toBeGreaterThanOrEqual(BASE.people);
  }
});

test('sessions have the pages they should, and gaps have two humps and a heavy tail', () => {
  const pages = pagesOf(makeTrace({ ...BASE, durationMs: 200_000, returning: 0.8, pagesPerSession: 4 }));
  const sessions = new Set(pages.map(({ session }) => session));
  expect(pages.length / sessions.size).toBeCloseTo(4, 0);
  const gaps = gapsOf(pages)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const at = (of: number) => gaps[Math.floor(of * gaps.length)]!;
  expect(at(0.3)).toBeLessThan(2 * BASE.think.medianMs);
  expect(at(0.98) / at(0.5)).toBeGreaterThan(20);
});

test('some are more active than others, the more so the larger the skew', () => {
  const most = (skew: number) => {
    const pages = pagesOf(makeTrace({ ...BASE, skew, joining: 0, durationMs: 120_000 }));
    return share(pages, ({ person }) => person < BASE.people / 10);
  };
  expect(most(0)).toBeLessThan(0.2);
  expect(most(1)).toBeGreaterThan(1.5 * most(0));
});

test('earlier positions are acted upon more, and the chances add up', () => {
  fc.assert(
    fc.property(parameters, (some) => {
      const chances = positionChances(some);
      expect(chances.reduce((a, b) => a + b, 0)).toBeCloseTo(Math.min(some.actionsPerPage, 10), 6);
      expect([...chances].sort((a, b) => b - a)).toEqual(chances);
      expect(chances[0]).toBeLessThanOrEqual(1);
    }),
    RUNS,
  );
});

test('the order of visits is that of the pages', () => {
  const trace = makeTrace({ ...BASE, joining: 0 });
  const visits = visitsOf(trace);
  expect(visits).toEqual(pagesOf(trace).map(({ person }) => person));
  expect(Math.max(...visits)).toBeLessThan(BASE.people);
});

test('the plain trace is even', () => {
  const pages = plainTrace({ durationMs: 1_000, qps: 4, people: 3 });
  expect(pages.map(({ atMs, person }) => [atMs, person])).toEqual([
    [250, 0],
    [500, 1],
    [750, 2],
    [1_000, 0],
  ]);
});

test('as many people as are said to be needed are enough', () => {
  fc.assert(
    fc.property(parameters, fc.integer({ min: 500, max: 30_000 }), (some, durationMs) => {
      const people = peopleNeeded({ ...some, durationMs });
      expect(() => makeTrace({ ...some, durationMs, people })).not.toThrow();
    }),
    RUNS,
  );
});

test('what cannot be is refused by name', () => {
  expect(() => makeTrace({ ...BASE, returning: 1 })).toThrow("a trace's returning must be at least 0 and below 1");
  expect(() => makeTrace({ ...BASE, qps: 0 })).toThrow("a trace's qps must be above 0");
  expect(() => makeTrace({ ...BASE, people: 64, returning: 0.5, joining: 0 })).toThrow('needs more than 64 people');
});

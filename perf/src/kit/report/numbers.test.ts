import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PureCompute } from '../measurements.js';
import { ceilingOf, flopRatio, pureMsOf, reuseEfficiency } from './compute.js';
import { madeUpFindings, measurement } from './fixture.suite.js';
import { DEFAULT_SHAPE, FIGURES, figureKind, figureName, goalOf, MAIN_SHAPE, REUSE_SHAPE } from './goals.js';
import { figuresOf, numbersOf } from './numbers.js';
import { banded, cpuOfPage } from './rounds.js';

/** Close to what was measured once at the main shape. */
const PURE: PureCompute = {
  round: 1,
  shape: MAIN_SHAPE,
  encodeAll: 40,
  append: 1,
  retrieveHead: 0.5,
  rankOnKv: 32,
  rankFromScratch: 71,
  search: 1.5,
};

test('ceilings are those that the pure compute of the systems gives', () => {
  expect(ceilingOf([PURE], { system: 'C' }, { system: 'B' })).toBeCloseTo(112 / 72);
  expect(ceilingOf([PURE], { system: 'D' }, { system: 'B' })).toBeCloseTo(112 / 33);
  expect(ceilingOf([PURE], { system: 'A' }, { system: 'Gkv' })).toBe(1);
  expect(ceilingOf([PURE], { system: 'A', hit: 0.5 }, { system: 'Bprime', hit: 0.5 })).toBeCloseTo(73 / 52.5);
  expect(pureMsOf('Bprime', PURE, 0)).toBe(pureMsOf('B', PURE));
  expect(pureMsOf('A', PURE, 0)).toBe(pureMsOf('C', PURE));
});

test('the FLOP ratio is the ratio of tokens', () => {
  expect(flopRatio(REUSE_SHAPE)).toBeCloseTo(1649 / 657);
  expect(reuseEfficiency({ ...PURE, shape: REUSE_SHAPE, rankFromScratch: 919, rankOnKv: 364 })).toBeCloseTo(1.0059, 3);
});

test('a ratio is taken within a round, at the best closed loop of each system', () => {
  const closed = (concurrency: number) => ({ load: { kind: 'closed', concurrency } as const });
  const figures = figuresOf({
    // The machine is half as fast in round 2: ratios do not see it.
    measurements: [
      ...[10, 5, 10].flatMap((speed, i) => [
        measurement('B', speed, i + 1, closed(8)),
        measurement('B', speed / 2, i + 1, closed(1)),
        measurement('C', speed * 1.5, i + 1, closed(16)),
        measurement('C', speed * 1.2, i + 1, closed(8)),
      ]),
      measurement('C', 1000, 4, closed(16)),
      measurement('C', 1000, 1, { ...closed(16), sweep: { name: 'history', value: 512 } }),
      measurement('C', 1000, 1, { load: { kind: 'open', qps: 1000 } }),
    ],
    pure: [PURE],
    gateway: [],
    chain: [],
  });
  const { value, band, rounds, detail } = figures.find(({ name }) => name === 'qps_ratio_c_over_b')!;
  expect([value, rounds, detail]).toEqual([expect.closeTo(1.5), 3, 'C at c=16, B at c=8']);
  expect(band?.map((b) => b.toFixed(3))).toEqual(['1.500', '1.500']);
  const share = figures.find(({ name }) => name === 'qps_ratio_c_over_b_of_ceiling')!;
  expect(share.value).toBeCloseTo((1.5 * 72) / 112);
  expect(share.met).toBe(true);
});

test('latency one at a time is judged by its floor, overhead by the CPU beyond pure compute', () => {
  const one = { load: { kind: 'closed', concurrency: 1 } } as const;
  const numbers = numbersOf({
    measurements: [
      measurement('D', 10, 1, { ...one, p50: 40 }),
      measurement('B', 10, 1, { ...one, p50: 120 }),
      measurement('A', 10, 1, { cpuMs: { gateway: 3, ranking: 34 }, kv: { slot: 1, append: 1, empty: 2 } }),
    ],
    pure: [PURE],
    gateway: [1, 2, 9].map((p50Ms, round) => ({ date: '', round, shape: MAIN_SHAPE, p50Ms })),
    chain: [],
  });
  expect(numbers.median_latency_ratio_d_over_b).toBeCloseTo(1 / 3);
  expect(numbers.median_latency_ratio_d_over_b_floor).toBeCloseTo(33 / 112);
  expect(numbers.median_latency_ratio_d_over_b_of_floor).toBeCloseTo(112 / 99);
  expect(numbers.overhead_cpu_ms).toBeCloseTo(37 - 33 - 2);
  expect(numbers.gateway_overhead_p50_ms).toBe(2);
});

test('calls that were refused make no page, and what they cost is paid by the pages', () => {
  const page = measurement('A', 10, 1, { cpuMs: { gateway: 8, ranking: 12 }, kv: { slot: 1 } });
  const some = { ...page, seen: { ...page.seen, good: page.seen.calls / 2, errors: { RESOURCE_EXHAUSTED: 1 } } };
  expect(cpuOfPage(some)).toBe(40);
  expect(cpuOfPage(some, 'ranking')).toBe(24);
});

test('A over B-prime is taken where A hits half and the rival is at its best', () => {
  const point = (value: number, hitA: number, hitB: number, a: number, b: number) => [
    measurement('A', a, 1, { sweep: { name: 'kv_memory', value }, kv: hit(hitA) }),
    measurement('Bprime', b, 1, { sweep: { name: 'kv_memory', value }, kv: hit(hitB) }),
  ];
  const hit = (share: number) => ({ append: 100 * share, recompute: 100 - 100 * share });
  const measurements = [...point(1, 0.5, 0.25, 30, 10), ...point(2, 0.45, 0.4, 26, 20), ...point(3, 0.9, 0.5, 50, 20)];
  const figures = figuresOf({ measurements, pure: [PURE], gateway: [], chain: [] });
  const ratio = figures.find(({ name }) => name === 'qps_ratio_a_over_bprime');
  expect(ratio?.value).toBeCloseTo(1.3);
  expect(ratio?.detail).toBe("hit rate of A 45%, of B' 40%");
  const ceiling = figures.find(({ name }) => name === 'qps_ratio_a_over_bprime_ceiling');
  expect(ceiling?.value).toBeCloseTo((2 * (0.4 + 0.6 * 40) + 32) / (0.45 + 0.55 * 40 + 32));
  expect(
    numbersOf({ measurements: measurements.slice(4), pure: [PURE], gateway: [], chain: [] }).qps_ratio_a_over_bprime,
  ).toBe(undefined);
});

test('what is asked for and was not measured is undefined, and nothing that is there is NaN', () => {
  const nothing = numbersOf({ measurements: [], pure: [], gateway: [], chain: [] });
  expect(Object.keys(nothing)).toContain('qps_ratio_d_over_b_of_ceiling_default');
  expect(Object.keys(nothing)).toContain('reuse_efficiency');
  expect(new Set(Object.values(nothing))).toEqual(new Set([undefined]));
  expect(figuresOf(madeUpFindings()).every(({ value }) => Number.isFinite(value))).toBe(true);
});

test('without pure compute ratios are there and ceilings are not', () => {
  const names = figuresOf({ ...madeUpFindings(), pure: [] }).map(({ name }) => name);
  expect(names).toContain('qps_ratio_c_over_b');
  expect(names.filter((name) => /ceiling|floor|overhead_cpu|reuse/.test(name))).toEqual([]);
});

test('every name leads back to its kind, at every shape', () => {
  const shape = fc.record({ n: fc.nat(), k: fc.nat(), layers: fc.nat(), width: fc.nat() });
  const anyShape = fc.oneof(shape, fc.constantFrom(MAIN_SHAPE, DEFAULT_SHAPE, REUSE_SHAPE));
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(FIGURES)), anyShape, (base, at) => {
      expect(figureKind(figureName(base, at))).toBe(FIGURES[base]);
    }),
    { seed: 6 },
  );
  expect(figureName('qps_ratio_c_over_b', DEFAULT_SHAPE)).toBe('qps_ratio_c_over_b_default');
  expect(figureName('reuse_efficiency', MAIN_SHAPE)).toBe('reuse_efficiency_n512_k400_l6_d256');
  expect(goalOf('overhead_cpu_ms', DEFAULT_SHAPE)).toEqual({ atMost: 2 });
  expect(goalOf('reuse_efficiency', DEFAULT_SHAPE)).toBe(undefined);
});

test('a band holds the median and lies within what was seen', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 2, maxLength: 12 }), (values) => {
      const { value, band } = banded(values)!;
      expect(band![0]).toBeGreaterThanOrEqual(Math.min(...values));
      expect(band![1]).toBeLessThanOrEqual(Math.max(...values));
      expect(band![0]).toBeLessThanOrEqual(value);
      expect(band![1]).toBeGreaterThanOrEqual(value);
    }),
    { seed: 6, numRuns: 50 },
  );
  expect(banded([Number.NaN])).toBe(undefined);
  expect(banded([3])).toEqual({ value: 3, band: undefined, rounds: 1 });
});

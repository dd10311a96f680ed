import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { REPORT_FOLDER } from '../summary.js';
import { fastest, figuresOf, GPU_FIGURES, type GpuFigureKind, isHome, summaryEntries } from './figures.js';
import type { GpuCase, MeasuredCase } from './gpu-case.js';
import type { BenchShape } from './options.js';

const HOME: BenchShape = { layers: 12, width: 768, heads: 12, n: 992, k: 656, batch: 8, dtype: 'float16' };
const OWN: GpuCase = { system: 'onepass', timed: 'rank', batch: 8, rows: 0, attention: 'plain', captured: false };

const of = (some: Partial<GpuCase>, ...micros: number[]): MeasuredCase => ({
  case: { ...OWN, ...some },
  rounds: micros.map((deviceMicros, round) => ({ round, deviceMicros, wallMicros: 2 * deviceMicros })),
});

test('a ratio is the median of the ratios within a round, each system at its own fastest', () => {
  const measured = [
    of({}, 100, 400, 90),
    of({ attention: 'mha', captured: true }, 50, 100, 40),
    of({ timed: 'recompute' }, 300, 300, 300),
    of({ timed: 'recompute', attention: 'mha' }, 150, 200, 100),
    of({ system: 'pytorch', attention: 'flex, compiled' }, 40, 40, 40),
  ];
  const figures = figuresOf(measured, HOME);
  // 150 / 50, 200 / 100 and 100 / 40.
  expect(figures.kv_speedup?.value).toBe(2.5);
  expect(figures.total_speedup?.value).toBe(6);
  expect(figures.ratio_vs_pytorch?.value).toBe(1.25);
  expect(figures.kv_speedup_of_flops!.value).toBeLessThan(figures.kv_speedup_of_flops_half!.value);
  expect(figures.kv_speedup_of_flops?.value).toBeCloseTo(2.5 / 2.4, 2);
});

test('only rounds that have both count', () => {
  const early = of({}, 100, 100, 100);
  const late = {
    ...of({ timed: 'recompute' }, 400, 500, 600),
    rounds: [{ round: 2, deviceMicros: 400, wallMicros: 1 }],
  };
  expect(figuresOf([early, late], HOME).kv_speedup?.value).toBe(4);
  const never = { ...late, rounds: [{ round: 9, deviceMicros: 400, wallMicros: 1 }] };
  expect(figuresOf([early, never], HOME)).toEqual({});
});

test('what was once the fastest is set beside what came later', () => {
  const anchor = of({ attention: 'mha' }, 100, 100, 130, 130, 130);
  const late = {
    ...of({ timed: 'gather', attention: 'none' }),
    rounds: [{ round: 4, deviceMicros: 13, wallMicros: 1 }],
  };
  const figures = figuresOf([of({}, 110, 110), anchor, late], HOME);
  expect(figures.gather_share?.value).toBe(0.1);
});

test('what was not measured is not there', () => {
  expect(figuresOf([], HOME)).toEqual({});
  expect(Object.keys(figuresOf([of({}, 1), of({ timed: 'gather', attention: 'none' }, 0.25)], HOME))).toEqual([
    'gather_share',
  ]);
});

test('an append of one row counts, not a longer one; and copies of KV at the speed of the link', () => {
  const measured = [
    of({}, 100),
    of({ timed: 'encode', rows: 992 }, 1000),
    of({ timed: 'append', rows: 1 }, 40),
    of({ timed: 'append', rows: 8 }, 20),
    of({ system: 'pytorch', timed: 'kv_copy', attention: 'none' }, 50),
  ];
  const agreement = { worst: 1e-3, mean: 1e-4, kendall: 0.995 };
  const figures = figuresOf(measured, HOME, { agreement });
  expect(figures.append_speedup?.value).toBe(25);
  expect(figures.host_kv_copy_ratio?.value).toBe(1.5);
  expect(figures.order_agreement?.value).toBe(0.995);
  expect(figures.probability_error?.value).toBe(1e-3);
});

test('what capturing saves is seen with the same attention', () => {
  const one = { batch: 1 };
  const measured = [
    of({ ...one, attention: 'mha', captured: true }, 10),
    of({ ...one, attention: 'mha' }, 30),
    of(one, 20),
  ];
  expect(figuresOf(measured, { ...HOME, batch: 8 }).capture_speedup?.value).toBe(3);
});

test('a whole past is encoded by whichever graph is faster', () => {
  const measured = [
    of({ timed: 'encode', rows: 992 }, 1000),
    of({ timed: 'prefill', rows: 992, attention: 'gqa' }, 800),
    of({ timed: 'append', rows: 1 }, 40),
  ];
  expect(figuresOf(measured, HOME).append_speedup?.value).toBe(20);
});

test('the fastest is by its median', () => {
  const [steady, lucky] = [of({}, 10, 10, 10), of({ attention: 'mha' }, 1, 20, 20)];
  expect(fastest([lucky, steady], { timed: 'rank' })).toBe(steady);
  expect(fastest([lucky, steady], { timed: 'encode' })).toBeUndefined();
});

test('what a figure should reach has its place in the summary: null until it is measured', async () => {
  const summary = JSON.parse(await readFile(join(REPORT_FOLDER, 'summary.json'), 'utf8'));
  const wanted = Object.entries(GPU_FIGURES).flatMap(([name, { goal }]: [string, GpuFigureKind]) =>
    goal ? [`gpu_${name}`] : [],
  );
  expect(Object.keys(summary)).toEqual(expect.arrayContaining([...wanted, 'gpu_soak_growth']));
});

test("the paper's shape has the bare names in the summary, others their shape", () => {
  const figures = { kv_speedup: { value: 2, band: [1, 3] as const, rounds: 7 } };
  expect(isHome(HOME)).toBe(true);
  expect(summaryEntries(figures, HOME)).toEqual({ gpu_kv_speedup: { value: 2, band: [1, 3] } });
  const other = summaryEntries({ kv_speedup: { value: 2, band: undefined, rounds: 1 } }, { ...HOME, batch: 1 });
  expect(other).toEqual({ gpu_kv_speedup_n992_k656_l12_d768_b1_fp16: { value: 2 } });
});

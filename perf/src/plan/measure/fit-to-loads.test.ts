import { expect, test } from 'vitest';
import { usualTrace } from '../../kit/load/index.js';
import { TIMES } from '../sim/fixture.suite.js';
import type { Told } from '../sim/replay-trace.js';
import type { RealLoads } from '../validate/loads.js';
import { predictLoads } from '../validate/predict.js';
import { bisect, fitToLoads } from './fit-to-loads.js';

const MODEL = { layers: 4, width: 128, window: 256, contextRows: 8 };
const release = { manifest: { model: MODEL } } as unknown as Parameters<typeof fitToLoads>[2];
const trace = (qps: number, seed: number) => ({
  ...usualTrace(60_000),
  ...{ seed, durationMs: 5_000, qps, people: 2_000, surfaces: { related: 0, search: 0 } },
});
const traces = [trace(20, 1), trace(12, 2), trace(50, 3)];
const loads: Omit<RealLoads, 'seen'> = {
  told: { cells: ['a:1'], slots: 80, inFlight: 2, budgetMs: 300, restMs: 300 },
  length: 224,
  traces,
  windows: traces.map(() => ({ fromMs: 1_000, toMs: 5_000 })),
};

test('what loads do is found again in loads of a simulated mesh that it was done to', {
  timeout: 120_000,
}, async () => {
  const truth = { wakeMs: 0.4, busySpeed: 0.8 };
  const seen = await predictLoads(loads, { release, times: { ...TIMES, ...truth }, seeds: [5] });
  // What heats is compared with nothing.
  seen[0] = { ...(seen[0] as Told), p50Ms: Number.NaN };
  const fitted = await fitToLoads(TIMES, { ...loads, seen }, release);
  expect(Math.abs(fitted.wakeMs - truth.wakeMs)).toBeLessThan(0.12);
  expect(Math.abs(fitted.busySpeed - truth.busySpeed)).toBeLessThan(0.06);
  expect(fitted.pages).toBe(TIMES.pages);
});

test('where nothing lies between, an end is found', async () => {
  expect(await bisect([0, 2], async (value) => value - 0.7)).toBeCloseTo(0.7, 1);
  expect(await bisect([0, 2], async (value) => value + 1)).toBe(0);
  expect(await bisect([0, 2], async (value) => value - 3)).toBe(2);
});

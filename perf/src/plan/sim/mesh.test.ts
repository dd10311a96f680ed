import { seededRandom } from '@onepass/contracts';
import { kvShape } from '@onepass/kv';
import { expect, test } from 'vitest';
import { makeTrace, usualTrace } from '../../kit/load/index.js';
import { predict } from '../validate/predict.js';
import { sampleVisits } from '../visits.js';
import { SimClock } from './clock.js';
import { ServiceDraw } from './draw.js';
import { TIMES } from './fixture.suite.js';
import { Machine } from './machine.js';
import { SimMesh } from './mesh.js';
import { SimPeople, toldOf } from './replay-trace.js';
import { CASES, simulateCase } from './simulate-plan.js';

const MODEL = { layers: 4, width: 128, window: 256, contextRows: 8 };
const release = { manifest: { model: MODEL } } as unknown as Parameters<typeof predict>[0]['release'];
const TOLD = { cells: ['a:1', 'b:1'], slots: 40, inFlight: 2, budgetMs: 300, restMs: 300 };
const load = (qps: number) => ({
  ...usualTrace(60_000),
  ...{ seed: 1, durationMs: 12_000, qps, people: 2_000, surfaces: { related: 0, search: 0 } },
});
const all = { fromMs: 0, toMs: Number.POSITIVE_INFINITY };
const run = (told: Partial<typeof TOLD>, qps: number, times = TIMES) =>
  predict({ release, times, told: { ...TOLD, ...told }, loads: [load(qps)], length: 224, seed: 1 });

function oneMesh(slots = 8) {
  const clock = new SimClock();
  const machine = new Machine(clock, { cores: 2, busySpeed: 0.9 });
  const hosts = [{ machine, cells: ['a:1'], gateways: 1, retrievals: 1 }];
  const terms = { ...TOLD, slots, shape: kvShape(MODEL), window: MODEL.window, hosts, client: machine };
  return { clock, mesh: new SimMesh(clock, terms, new ServiceDraw(TIMES, seededRandom(1))) };
}

test('a page is encoded once, kept while nothing is new, appended to, and encoded anew when its window is full', async () => {
  const { clock, mesh } = oneMesh();
  const ada = new SimPeople(224).of('ada');
  const kinds: (string | undefined)[] = [];
  const page = async () => {
    const asked = mesh.page(ada);
    await clock.run();
    const { kind, outcome } = await asked;
    expect(outcome).toBe('whole');
    kinds.push(kind);
  };
  await page();
  await page();
  for (const actions of [1, 31, 1, 3]) {
    void mesh.actions(ada.history, actions);
    await clock.run();
    await page();
  }
  expect(kinds).toEqual(['encode', 'keep', 'append', 'append', 'encode', 'append']);
});

test('two pages of one person at one time do the encoding once', async () => {
  const { clock, mesh } = oneMesh();
  const ada = new SimPeople(224).of('ada');
  const both = Promise.all([mesh.page(ada), mesh.page(ada)]);
  await clock.run();
  expect((await both).map(({ kind }) => kind)).toEqual(['encode', 'keep']);
});

test('alone, a page takes what it was measured to take', async () => {
  const { clock, mesh } = oneMesh();
  const took: number[] = [];
  for (let person = 0; person < 300; person += 1) {
    const page = mesh.page(new SimPeople(224).of(`person-${person}`));
    await clock.run();
    took.push((await page).ms);
  }
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const measured = mean(TIMES.pages.filter(({ tokens }) => tokens === 224).map(({ wallMs }) => wallMs));
  expect(Math.abs(mean(took) / measured - 1)).toBeLessThan(0.05);
});

test('the same seed, the same answer; every page is answered once', async () => {
  const [[one], [same]] = [await run({}, 30), await run({}, 30)];
  expect(same).toEqual(one);
  expect(one).toHaveLength(makeTrace(load(30)).filter(({ kind }) => kind === 'page').length);
});

test('more slots hold no fewer, more load takes no less time, and cores that slow each other down take more', async () => {
  const held = [];
  for (const slots of [10, 40, 200]) held.push(toldOf((await run({ slots }, 30))[0]!, all).held);
  expect([...held].sort((a, b) => a - b)).toEqual(held);
  const p50 = [];
  for (const qps of [10, 40, 70]) p50.push(toldOf((await run({}, qps))[0]!, all).p50Ms);
  expect([...p50].sort((a, b) => a - b)).toEqual(p50);
  const slow = toldOf((await run({}, 40, { ...TIMES, busySpeed: 0.7 }))[0]!, all).p50Ms;
  expect(slow).toBeGreaterThan(p50[1]!);
});

test('far too much load is refused, and what is admitted keeps its time', async () => {
  const told = toldOf((await run({}, 250))[0]!, { fromMs: 4_000, toMs: 12_000 });
  expect(told.refused).toBeGreaterThan(0.3);
  // Its time begins where the gateway reads it; before that and behind it the same cores are as busy.
  expect(told.p99Ms).toBeLessThan(2 * TOLD.budgetMs);
});

test('a plan: a lost cell and nothing held cost more than the peak, and the busiest of all loops is named', {
  timeout: 60_000,
}, async () => {
  const visits = sampleVisits({ people: 60_000, qps: 2, seed: 1 }, 6_000);
  const terms = {
    ...{ times: TIMES, shape: kvShape(MODEL), window: MODEL.window, visits, cells: 3, slotsPerCell: 300, cores: 4 },
    ...{ inFlight: 2, gateways: 2, retrievals: 1, qps: 260, budgetMs: 300, pages: 1_500, seed: 1 },
  };
  const [peak, lost, promotion] = await Promise.all(CASES.map((name) => simulateCase(name, terms)));
  expect(peak!.held).toBeGreaterThan(lost!.held);
  expect(promotion!.held).toBe(0);
  expect(lost!.p50Ms).toBeGreaterThan(peak!.p50Ms);
  expect(promotion!.p50Ms).toBeGreaterThan(peak!.p50Ms);
  expect(peak!.coresBusy).toBeGreaterThan(0.1);
  expect(peak!.busiestLoop).toBeLessThanOrEqual(1);
  expect(['gateway', 'user-encoder', 'ranking', 'retrieval']).toContain(peak!.busiestProcess);
});

import { seededRandom } from '@onepass/contracts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exponential } from '../../kit/load/gaps.js';
import { SimClock } from './clock.js';
import { EventLoop, Machine } from './machine.js';

const ALONE = { cores: 1, busySpeed: 1 };
const JOBS = 8_000;
const BATCHES = 20;

/** Sojourn times of jobs that come by chance, `busy` of the time. */
async function sojourns(busy: number, work: () => number, random: () => number, shared: boolean): Promise<number[]> {
  const clock = new SimClock();
  const machine = new Machine(clock, ALONE);
  const loop = new EventLoop(machine);
  const took: number[] = [];
  let atMs = 0;
  for (let job = 0; job < JOBS; job += 1) {
    atMs += exponential(random) / busy;
    const cameMs = atMs;
    clock.at(cameMs, () => {
      const ms = work();
      void (shared ? machine.run(ms) : loop.turn(ms)).then(() => took.push(clock.now() - cameMs));
    });
  }
  await clock.run();
  return took;
}

/** Mean, and how far it may well be from the true one: four standard errors over means of batches, since neighbours are alike. */
function meanOf(values: readonly number[]): { mean: number; within: number } {
  const size = values.length / BATCHES;
  const mean = (some: readonly number[]) => some.reduce((a, b) => a + b, 0) / some.length;
  const batches = Array.from({ length: BATCHES }, (_, i) => mean(values.slice(i * size, (i + 1) * size)));
  const all = mean(batches);
  const variance = batches.reduce((sum, one) => sum + (one - all) ** 2, 0) / (BATCHES - 1);
  return { mean: all, within: 4 * Math.sqrt(variance / BATCHES) };
}

test.each([
  { name: 'M/M/1', busy: 0.6, steady: false, shared: false, expected: 1 / (1 - 0.6) },
  { name: 'M/D/1', busy: 0.7, steady: true, shared: false, expected: 1 + 0.7 / (2 * (1 - 0.7)) },
  // Sharing makes the mean blind to how work is spread.
  { name: 'M/M/1, shared', busy: 0.6, steady: false, shared: true, expected: 1 / (1 - 0.6) },
  { name: 'M/D/1, shared', busy: 0.6, steady: true, shared: true, expected: 1 / (1 - 0.6) },
])('a station is what queueing theory says: $name', async ({ busy, steady, shared, expected }) => {
  const random = seededRandom(3);
  const { mean, within } = meanOf(await sojourns(busy, () => (steady ? 1 : exponential(random)), random, shared));
  expect(within / expected).toBeLessThan(0.2);
  expect(Math.abs(mean - expected)).toBeLessThan(within);
});

test('work is conserved, nobody has more than a core, and all is done as soon as the cores can', async () => {
  const jobs = fc.array(fc.record({ at: fc.nat(40), ms: fc.double({ min: 0.01, max: 20, noNaN: true }) }), {
    minLength: 1,
    maxLength: 40,
  });
  await fc.assert(
    fc.asyncProperty(
      jobs,
      fc.integer({ min: 1, max: 4 }),
      fc.double({ min: 0.5, max: 1, noNaN: true }),
      async (all, cores, busySpeed) => {
        const clock = new SimClock();
        const machine = new Machine(clock, { cores, busySpeed });
        for (const { at, ms } of all) {
          clock.at(at, () => {
            void machine.run(ms).then(() => expect(clock.now() - at).toBeGreaterThanOrEqual(ms - 1e-6));
          });
        }
        await clock.run();
        const work = all.reduce((sum, { ms }) => sum + ms, 0);
        expect(machine.doneMs).toBeCloseTo(work, 6);
        expect(machine.busyMs).toBeGreaterThanOrEqual(work - 1e-6);
        expect(machine.busyMs).toBeLessThanOrEqual(work / busySpeed + 1e-6);
        expect(machine.busyMs).toBeLessThanOrEqual(clock.now() * cores + 1e-6);
      },
    ),
    { seed: 5, numRuns: 60 },
  );
});

test('an event loop takes turns in order, and does what is behind an answer before the next turn', async () => {
  const clock = new SimClock();
  const loop = new EventLoop(new Machine(clock, { cores: 4, busySpeed: 1 }));
  const told: [string, number][] = [];
  void loop.turn(2, 3).then(() => told.push(['first', clock.now()]));
  void loop.turn(1).then(() => told.push(['second', clock.now()]));
  await clock.run();
  expect(told).toEqual([
    ['first', 2],
    ['second', 6],
  ]);
  expect(loop.workMs).toBe(6);
  expect(() => clock.at(5, () => {})).toThrow('is before now');
});

test("V8's threads take cores from a turn, and nobody waits for them", async () => {
  const clock = new SimClock();
  const machine = new Machine(clock, { cores: 2, busySpeed: 1 });
  const loop = new EventLoop(machine);
  const told: number[] = [];
  void loop.turn(2, 0, 8).then(() => told.push(clock.now()));
  await clock.run();
  // Five threads on two cores until the turn is done.
  expect(told).toEqual([expect.closeTo((2 * 5) / 2, 9)]);
  expect(clock.now()).toBeCloseTo((2 + 8) / 2, 9);
  expect(machine.doneMs).toBeCloseTo(10, 9);
  expect(loop.workMs).toBe(2);
});

test('of events at one time, the one that was asked for first comes first', async () => {
  const clock = new SimClock();
  const order: number[] = [];
  for (const i of [0, 1, 2, 3, 4]) clock.at(1, () => order.push(i));
  await clock.run();
  expect(order).toEqual([0, 1, 2, 3, 4]);
});

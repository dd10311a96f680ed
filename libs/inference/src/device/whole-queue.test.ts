import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RunQueue } from '../run-queue.js';
import { WholeQueue } from './whole-queue.js';

const work = fc.record({
  isWhole: fc.boolean(),
  turns: fc.nat(6),
  /** Turns until it is asked for. */
  after: fc.nat(40),
  fails: fc.boolean(),
});

test('who has all lanes is alone; each kind has its turns in order of asking; lanes are left whatever becomes of the work', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(work, { maxLength: 24 }), async (lanes, works) => {
      const queue = new RunQueue({ lanes, maxQueued: 1_000 });
      const whole = new WholeQueue(queue, lanes);
      let [runs, wholes] = [0, 0];
      const begun: number[] = [];
      const asked: number[] = [];
      const ask = async (index: number) => {
        const { isWhole, turns, after, fails } = works[index]!;
        for (let turn = 0; turn < after; turn++) await null;
        asked.push(index);
        const play = async () => {
          begun.push(index);
          if (isWhole) wholes++;
          else runs++;
          for (let turn = 0; turn < turns; turn++) {
            expect(wholes).toBeLessThanOrEqual(1);
            if (wholes === 1) expect(runs).toBe(0);
            await null;
          }
          if (isWhole) wholes--;
          else runs--;
          if (fails) throw new Error('as the test has it');
        };
        await (isWhole ? whole.alone(play) : queue.schedule(play)).catch((error) =>
          expect(String(error)).toContain('test'),
        );
      };
      await Promise.all(works.map((_, index) => ask(index)));
      expect([...begun].sort()).toEqual([...works.keys()].sort());
      await queue.idle();
      expect([queue.running, queue.queued]).toEqual([0, 0]);
      // Runs keep their order, and so do those that want all lanes.
      for (const isWhole of [true, false]) {
        const of = (list: number[]) => list.filter((index) => works[index]!.isWhole === isWhole);
        expect(of(begun)).toEqual(of(asked));
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});

test('a stream of runs does not keep out who wants all lanes, nor do those who want them keep out a run', async () => {
  const queue = new RunQueue({ lanes: 2, maxQueued: 10 });
  const whole = new WholeQueue(queue, 2);
  let isOver = false;
  const stream = async () => {
    while (!isOver) await queue.schedule(async () => void (await null));
  };
  const streams = [stream(), stream(), stream(), stream()];
  let wholes = 0;
  for (; wholes < 20; wholes++) await whole.alone(async () => {});
  const many = Array.from({ length: 50 }, () => whole.alone(async () => void wholes++));
  await queue.schedule(async () => expect(wholes).toBeLessThan(30));
  isOver = true;
  await Promise.all([...streams, ...many]);
});

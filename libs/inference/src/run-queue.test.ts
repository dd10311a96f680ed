import { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RunQueue } from './run-queue.js';

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}

test('runs start in order of asking, never more than the lanes, and no two share a lane', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(3), { maxLength: 20 }), async (lanes, turns) => {
      const queue = new RunQueue({ lanes, maxQueued: 256 });
      const started: number[] = [];
      const busy = new Set<number>();
      const work = turns.map((count, index) =>
        queue.schedule(async (lane) => {
          started.push(index);
          expect(busy.has(lane)).toBe(false);
          expect(busy.add(lane).size).toBeLessThanOrEqual(lanes);
          for (let i = 0; i < count; i++) await Promise.resolve();
          busy.delete(lane);
          return index;
        }),
      );
      expect(await Promise.all(work)).toEqual(turns.map((_, index) => index));
      expect(started).toEqual(turns.map((_, index) => index));
      await queue.idle();
      expect([queue.running, queue.queued]).toEqual([0, 0]);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test('work that was aborted in the queue never runs, keeps its reason, and holds nobody up', async () => {
  const queue = new RunQueue({ lanes: 1, maxQueued: 256 });
  const first = deferred();
  const running = queue.schedule(() => first.promise);
  const late = new OnepassError({ kind: 'deadline_exceeded' }, 'too late');
  const [gone, known] = [new AbortController(), new AbortController()];
  let ran = 0;
  const aborted = queue.schedule(async () => ran++, { signal: gone.signal });
  const timedOut = queue.schedule(async () => ran++, { signal: known.signal });
  const last = queue.schedule(async () => 'last');
  gone.abort();
  known.abort(late);
  await expect(aborted).rejects.toMatchObject({ kind: 'cancelled' });
  await expect(timedOut).rejects.toBe(late);
  await expect(queue.schedule(async () => ran++, { signal: gone.signal })).rejects.toMatchObject({ kind: 'cancelled' });
  expect(queue.queued).toBe(1);
  first.resolve();
  await running;
  expect(await last).toBe('last');
  expect(ran).toBe(0);
});

test('work that fails gives its lane back', async () => {
  const queue = new RunQueue({ lanes: 1, maxQueued: 256 });
  await expect(queue.schedule(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await expect(
    queue.schedule(() => {
      throw new Error('at once');
    }),
  ).rejects.toThrow('at once');
  expect(await queue.schedule(async () => 1)).toBe(1);
});

test('work that would wait beyond its deadline is refused at once with when to try again', async () => {
  const queue = new RunQueue({ lanes: 2, maxQueued: 256 });
  const first = deferred();
  const deadlineMs = Date.now() + 10_000;
  const slow = { expectedMs: 7_000, deadlineMs };
  const running = [queue.schedule(() => first.promise, slow), queue.schedule(() => first.promise, slow)];
  const gone = new AbortController();
  const aborted = queue.schedule(async () => 0, { expectedMs: 1_000, deadlineMs, signal: gone.signal });
  // 15 s of work over two lanes, then its own.
  const refused = queue.schedule(async () => 0, { expectedMs: 4_000, deadlineMs });
  await expect(refused).rejects.toMatchObject({
    kind: 'overloaded',
    message: expect.stringContaining('1 graph runs wait: done in 11500 ms, asked for in'),
    detail: { retryAfterMs: 7_500 },
  });
  gone.abort();
  await expect(aborted).rejects.toMatchObject({ kind: 'cancelled' });
  const admitted = queue.schedule(async () => 'done', { expectedMs: 2_000, deadlineMs });
  const patient = queue.schedule(async () => 'at last', { expectedMs: 60_000 });
  first.resolve();
  expect(await Promise.all([...running, admitted, patient])).toEqual([undefined, undefined, 'done', 'at last']);
  // Nothing is left of what ran: all lanes are free for any deadline.
  expect(await queue.schedule(async () => 1, { expectedMs: 1e9, deadlineMs })).toBe(1);
});

test('higher priorities run first, do not wait for lower ones in the prediction either, and nobody waits without bound', async () => {
  const queue = new RunQueue({ lanes: 1, maxQueued: 3 });
  const first = deferred();
  const order: string[] = [];
  const ask = (name: string, terms: object) => queue.schedule(async () => void order.push(name), terms);
  const running = queue.schedule(() => first.promise);
  const work = { expectedMs: 5_000 };
  const deadlineMs = Date.now() + 9_000;
  const waiting = [ask('b1', { ...work, priority: 'batch' })];
  const displaced = ask('b2', { ...work, priority: 'batch' });
  await expect(ask('b3', { ...work, priority: 'batch', deadlineMs })).rejects.toMatchObject({ kind: 'overloaded' });
  waiting.push(ask('p', { priority: 'prefetch' }), ask('i', { ...work, deadlineMs }));
  await expect(displaced).rejects.toMatchObject({ kind: 'overloaded', message: '3 graph runs wait, no more may' });
  await expect(ask('b4', { priority: 'batch' })).rejects.toMatchObject({ detail: { retryAfterMs: 10_000 } });
  first.resolve();
  await Promise.all([running, ...waiting]);
  expect(order).toEqual(['i', 'p', 'b1']);
  expect([queue.started, queue.queued]).toEqual([4, 0]);
});

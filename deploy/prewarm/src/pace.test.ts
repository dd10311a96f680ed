import { OnepassError, overloaded, unavailable } from '@onepass/errors';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Pace, Patience, until } from './pace.js';

test('never more than so many within a second, whenever turns are asked for', () => {
  const waits = fc.array(fc.double({ min: 0, max: 400, noNaN: true }), { minLength: 2, maxLength: 100 });
  fc.assert(
    fc.property(fc.double({ min: 0.5, max: 200, noNaN: true }), waits, (rate, between) => {
      const pace = new Pace(rate);
      let now = 0;
      const turns = between.map((ms) => {
        now += ms;
        const turn = pace.take(now);
        expect(turn).toBeGreaterThanOrEqual(now);
        return turn;
      });
      for (let i = 1; i < turns.length; i++) {
        expect(turns[i]! - turns[i - 1]!).toBeGreaterThanOrEqual(1_000 / rate - 1e-6);
      }
    }),
    { seed: 5 },
  );
});

const late = new OnepassError({ kind: 'deadline_exceeded' }, 'late');

test('a cell that refuses is left in peace for as long as it says, and for longer each time', () => {
  const patience = new Patience();
  expect(patience.refused(overloaded(700, 'busy'), 1, 1_000)).toBe(true);
  expect(patience.untilMs).toBe(1_700);
  patience.answered();
  const pauses = Array.from({ length: 9 }, (_, i) => {
    const now = 10_000 * (i + 1);
    expect(patience.refused(overloaded(1, 'busy'), i + 1, now)).toBe(true);
    return patience.untilMs - now;
  });
  expect(pauses).toEqual([50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  expect(patience.refused(late, 10, 200_000)).toBe(false);
});

test('a cell may be away for a minute', () => {
  const patience = new Patience();
  const gone = unavailable('gone');
  for (let now = 0; now < 60_000; now += 5_000) expect(patience.refused(gone, 99, now)).toBe(true);
  expect(patience.refused(gone, 99, 60_000)).toBe(false);
  patience.answered();
  expect(patience.refused(gone, 1, 60_001)).toBe(true);
  expect(patience.refused(new OnepassError({ kind: 'internal' }, 'odd'), 1, 0)).toBe(false);
});

test('waiting ends with the signal', async () => {
  await until(performance.now() - 1, new AbortController().signal);
  const waiting = new AbortController();
  const long = until(performance.now() + 100_000, waiting.signal);
  waiting.abort();
  await expect(long).rejects.toThrow();
  await expect(until(0, waiting.signal)).rejects.toThrow();
});

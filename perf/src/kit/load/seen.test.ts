import fc from 'fast-check';
import { expect, test } from 'vitest';
import { endedWithin, latencyOf, latenessOf, type SentCall, seenOf } from './seen.js';

const WINDOW = { fromMs: 1_000, toMs: 3_000 };
const BESIDE = { degraded: 0, senderCpu: 0.5, senderCores: undefined };
const call = (intendedMs: number, ms: number, more: Partial<SentCall> = {}): SentCall => ({
  intendedMs,
  sentMs: intendedMs,
  endedMs: intendedMs + ms,
  status: 'OK',
  ...more,
});

test('calls count by when they were meant to be sent, goodput by when they were answered', () => {
  const calls = [
    call(999, 2),
    call(1_000, 10),
    call(2_999, 50),
    call(3_000, 1),
    call(1_500, 5, { status: 'UNAVAILABLE' }),
  ];
  const seen = seenOf(calls, WINDOW, BESIDE);
  expect(seen).toMatchObject({ seconds: 2, calls: 3, good: 2, degraded: 0, errors: { UNAVAILABLE: 1 }, goodput: 1 });
  expect(seen.latencyMs).toEqual({ p50: 10, p90: 50, p99: undefined, p999: undefined });
  expect(endedWithin(calls, WINDOW)).toBe(3);
});

test('degraded pages are no goodput: by the answers where they are read, else by what the server counted', () => {
  const read = [call(1_000, 1, { degraded: false }), call(1_001, 9, { degraded: true })];
  expect(seenOf(read, WINDOW, { ...BESIDE, degraded: 7 })).toMatchObject({ good: 1, degraded: 1, goodput: 0.5 });
  expect(seenOf(read, WINDOW, BESIDE).latencyMs.p90).toBe(1);
  const unread = [call(1_000, 1), call(1_001, 9), call(1_002, 9)];
  expect(seenOf(unread, WINDOW, { ...BESIDE, degraded: 2 })).toMatchObject({ good: 1, degraded: 2, goodput: 0.5 });
  expect(seenOf(unread, WINDOW, { ...BESIDE, degraded: 9 })).toMatchObject({ good: 0, degraded: 3, goodput: 0 });
});

test('every call of the window is good, degraded or failed', () => {
  const calls = fc.array(
    fc.record({
      intendedMs: fc.integer({ min: 0, max: 4_000 }),
      sentMs: fc.constant(0),
      endedMs: fc.integer({ min: 0, max: 6_000 }),
      status: fc.constantFrom('OK', 'OK', 'UNAVAILABLE', 'NOT_SENT'),
      degraded: fc.constantFrom(undefined, true, false),
    }),
  );
  fc.assert(
    fc.property(calls, fc.nat(50), (some, degraded) => {
      const seen = seenOf(some, WINDOW, { ...BESIDE, degraded });
      const failed = Object.values(seen.errors).reduce((sum, count) => sum + count, 0);
      expect(seen.good + seen.degraded + failed).toBe(seen.calls);
      expect(Math.min(seen.good, seen.degraded, seen.goodput)).toBeGreaterThanOrEqual(0);
    }),
    { seed: 1 },
  );
});

test('far percentiles need samples', () => {
  const of = (count: number) => latencyOf(Array.from({ length: count }, (_, i) => i + 1));
  expect(of(999)).toEqual({ p50: 500, p90: 900, p99: undefined, p999: undefined });
  expect(of(1_000)).toMatchObject({ p99: 990, p999: undefined });
  expect(of(10_000)).toMatchObject({ p99: 9_900, p999: 9_990 });
  expect(of(0).p50).toBeNaN();
});

test('lateness is of calls that were sent', () => {
  const calls = [call(1_000, 5, { sentMs: 1_004 }), call(1_100, 0, { sentMs: 1_100, status: 'NOT_SENT' })];
  expect(latenessOf(calls, WINDOW)).toEqual({ p50: 4, p99: 4 });
});

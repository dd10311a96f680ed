import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { repositoryRoot } from '@onepass/local';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { writeProtoset } from '../../ghz.js';
import { parseCalls, startGhz } from './ghz-load.js';
import { observe } from './observe.js';
import { GHZ, startTinyServer } from './tiny-server.suite.js';

const BEGAN = Date.parse('2026-01-01T00:00:00Z');
/** As ghz writes it: times of ends with nanoseconds, zeros at the end left out. */
function report(calls: readonly { sentMs: number; ms: number; status?: string }[]): string {
  const details = calls.map(({ sentMs, ms, status = 'OK' }) => {
    const endedNs = Math.round((sentMs + ms) * 1e6);
    const nanos = String(endedNs % 1e9)
      .padStart(9, '0')
      .replace(/0+$/, '');
    const seconds = new Date(BEGAN + Math.floor(endedNs / 1e9) * 1000).toISOString().slice(0, 19);
    return {
      timestamp: `${seconds}${nanos === '' ? '' : `.${nanos}`}Z`,
      latency: Math.round(ms * 1e6),
      error: '',
      status,
    };
  });
  return JSON.stringify({ details });
}

test('a closed loop: calls in order of being sent, statuses in the words of gRPC', () => {
  const json = report([
    { sentMs: 20.25, ms: 1 },
    { sentMs: 0, ms: 30.5, status: 'ResourceExhausted' },
    { sentMs: 999.5, ms: 0.5, status: 'Canceled' },
  ]);
  const calls = parseCalls(json, { kind: 'closed', concurrency: 2 });
  expect(calls.map(({ status }) => status)).toEqual(['RESOURCE_EXHAUSTED', 'OK', 'CANCELLED']);
  expect(calls.map(({ sentMs }) => sentMs - BEGAN)).toEqual([0, 20.25, 999.5]);
  expect(calls[1]!.endedMs - BEGAN).toBeCloseTo(21.25, 3);
  expect(calls.every(({ intendedMs, sentMs }) => intendedMs === sentMs)).toBe(true);
  expect(parseCalls('{"details":null}', { kind: 'open', rate: 1 })).toEqual([]);
});

test('an open loop that falls behind: latency counts from when calls were meant to be sent', () => {
  const stalls = fc.array(fc.double({ min: 0, max: 80, noNaN: true }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(stalls, fc.integer({ min: 1, max: 60 }), (late, punctual) => {
      // Sent at once when it is time, but never before an earlier one; one of them in time.
      let last = 0;
      const calls = late.map((lateMs, i) => {
        last = Math.max(last, 10 * i + (i === punctual % late.length && last <= 10 * i ? 0 : lateMs));
        return { sentMs: last, ms: 5 };
      });
      const least = Math.min(...calls.map(({ sentMs }, i) => sentMs - 10 * i));
      for (const [i, call] of parseCalls(report(calls), { kind: 'open', rate: 100 }).entries()) {
        expect(call.intendedMs - BEGAN).toBeCloseTo(10 * i + least, 2);
        expect(call.endedMs - call.sentMs).toBeCloseTo(5, 2);
      }
    }),
    { seed: 1 },
  );
});

test('tries that gRPC adds after a lost connection do not move the schedule', () => {
  const good = Array.from({ length: 50 }, (_, i) => ({ sentMs: 10 * i + 0.1, ms: 2 }));
  const tries = Array.from({ length: 200 }, (_, i) => ({ sentMs: 500 + i, ms: 0.1, status: 'Unavailable' }));
  const calls = parseCalls(report([...good, ...tries]), { kind: 'open', rate: 100 });
  expect(calls[49]!.intendedMs - BEGAN).toBeCloseTo(490.1, 2);
  expect(calls[249]!.intendedMs).toBe(calls[249]!.sentMs);
});

test.skipIf(GHZ === undefined)(
  'a ghz that is held up sends the rest at once, and says nothing of it: we do',
  { timeout: 60_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onepass-ghz-load-test-'));
    const tiny = await startTinyServer({ serviceMs: 1 });
    const [protoset, requests] = [join(folder, 'contract.binpb'), join(folder, 'requests.json')];
    await writeProtoset(repositoryRoot, protoset);
    writeFileSync(requests, JSON.stringify([{ surface: 'home' }]));
    const { address } = tiny.target;
    const loop = { kind: 'open', rate: 100 } as const;
    const sender = await startGhz({ ghz: GHZ!, address, protoset, requests, loop, connections: 8, seconds: 2, folder });
    // Asked for when the measured part begins, and when it has ended.
    const degraded = async () => {
      process.kill(sender.pid, 'SIGSTOP');
      await delay(400);
      process.kill(sender.pid, 'SIGCONT');
      return 0;
    };
    await observe({ ...tiny.target, degraded }, sender, { warmUpSeconds: 0.5, seconds: 1 });
    const { calls } = await sender.finished;
    const late = calls.map(({ intendedMs, sentMs }) => sentMs - intendedMs);
    expect(Math.min(...late)).toBeCloseTo(0, 2);
    expect(Math.max(...late)).toBeGreaterThan(300);
    for (const [i, { intendedMs }] of calls.entries()) expect(intendedMs - calls[0]!.intendedMs).toBeCloseTo(10 * i, 2);
    await tiny.server.stop(0);
    rmSync(folder, { recursive: true });
  },
);

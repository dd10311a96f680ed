import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { writeProtoset } from '../../ghz.js';
import { crossCheck, describeCrossCheck } from './cross-check.js';
import { type LoadOptions, sendLoad, type TraceTerms } from './send-load.js';
import { GHZ, startTinyServer, type TinyServer } from './tiny-server.suite.js';

const SERVICE_MS = 20;
const folder = mkdtempSync(join(tmpdir(), 'onepass-load-test-'));
let program: BundledProgram;
let options: LoadOptions;
let tiny: TinyServer;

vi.setConfig({ testTimeout: 60_000 });
beforeAll(async () => {
  program = await bundleProgram(new URL('./replayer.program.ts', import.meta.url));
  const protoset = join(folder, 'contract.binpb');
  await writeProtoset(repositoryRoot, protoset);
  options = {
    seconds: 0.8,
    warmUpSeconds: 0.5,
    people: 8,
    page: { surface: 'home', pageSize: 10, candidates: 100 },
    folder,
    protoset,
    replayer: program.path,
    trace: TRACE,
  };
  tiny = await startTinyServer({ serviceMs: SERVICE_MS });
});
afterAll(async () => {
  await tiny.server.stop(0);
  program.remove();
  rmSync(folder, { recursive: true });
});

const TRACE: TraceTerms = {
  seed: 1,
  habits: { surface: 'home', usual: ['click'], seldom: ['click', 'save'] },
  itemIds: Array.from({ length: 100 }, (_, i) => `item-${i}`),
  surfaces: ['home', 'search', 'related'],
  queries: ['red shoes'],
  parameters: { returning: 0.6, actionsPerPage: 2, surfaces: { related: 0.2, search: 0.1 }, joining: 0.2 },
};

/** A page takes its time and never less; how much more is the machine's affair. */
function plausible(p50: number): void {
  expect(p50).toBeGreaterThanOrEqual(SERVICE_MS - 2);
}

test.skipIf(GHZ === undefined)('a closed loop', async () => {
  const { seen, cpuMs, lateMs, cutShort, notes, kv } = await sendLoad(
    { kind: 'closed', concurrency: 4 },
    tiny.target,
    options,
  );
  plausible(seen.latencyMs.p50);
  expect(seen).toMatchObject({ degraded: 0, errors: {}, senderCores: undefined });
  expect(seen.seconds).toBeGreaterThan(0.79);
  // Four at a time, each for at least the time of a page.
  expect(seen.goodput).toBeLessThanOrEqual((4 * 1000) / (SERVICE_MS - 2));
  expect(seen.goodput).toBeGreaterThan(0);
  expect(seen.senderCpu).toBeGreaterThanOrEqual(0);
  expect(cpuMs.gateway).toBeGreaterThanOrEqual(0);
  expect([lateMs.p99, cutShort, notes, kv]).toEqual([0, undefined, [], {}]);
});

test.skipIf(GHZ === undefined)('an open loop', async () => {
  const { seen, lateMs } = await sendLoad({ kind: 'open', qps: 50 }, tiny.target, options);
  plausible(seen.latencyMs.p50);
  expect(seen.calls).toBeGreaterThan(0);
  expect(seen.calls).toBeLessThanOrEqual(50 * seen.seconds + 1);
  expect(seen.good).toBe(seen.calls);
  expect(lateMs.p50).toBeGreaterThanOrEqual(0);
});

test.skipIf(GHZ === undefined)('pages of people in a given order', async () => {
  const before = tiny.asked.pages.length;
  const { seen } = await sendLoad({ kind: 'closed', concurrency: 1 }, tiny.target, { ...options, order: [5, 5, 7] });
  expect(seen.good).toBeGreaterThan(0);
  const asked = tiny.asked.pages.slice(before).map(({ person }) => person);
  expect(asked).toEqual(asked.map((_, i) => `bench-${[5, 5, 7][i % 3]}`));
});

test('a trace: people come, come back, act on what they were shown, and join', async () => {
  const { pages, events } = tiny.asked;
  const [pagesBefore, eventsBefore] = [pages.length, events.length];
  const { seen, kv, actions, cutShort } = await sendLoad({ kind: 'trace', people: 500, qps: 60 }, tiny.target, options);
  plausible(seen.latencyMs.p50);
  expect(seen.calls).toBeGreaterThan(0);
  expect(seen.good).toBe(seen.calls);
  expect((kv.slot ?? 0) + (kv.recompute ?? 0)).toBe(seen.good);
  expect(kv.slot).toBeGreaterThan(0);
  expect(cutShort).toBeUndefined();
  const [asked, acted] = [pages.slice(pagesBefore), events.slice(eventsBefore)];
  expect(new Set(asked.map(({ surface }) => surface))).toEqual(new Set(['home', 'related', 'search']));
  expect(asked.filter(({ surface }) => surface === 'search').every(({ about }) => about === 'red shoes')).toBe(true);
  expect(actions).toMatchObject({ sent: acted.length, acknowledged: acted.length, refused: 0, failed: {} });
  expect(new Set(acted.map(({ eventId }) => eventId)).size).toBe(acted.length);
  const onPages = acted.filter(({ slateId }) => slateId !== '');
  expect(onPages.length).toBeGreaterThan(0);
  // A page belongs to who acts on it, and holds the item.
  expect(onPages.every(({ slateId, person }) => slateId.startsWith(`slate-${person}-`))).toBe(true);
  expect(onPages.every(({ itemId }) => itemId.startsWith('shown-'))).toBe(true);
  // Newcomers bring histories of 64 actions.
  expect(acted.length - onPages.length).toBeGreaterThanOrEqual(64);
});

test('a trace in which hardly anything happens lasts as long as any', async () => {
  const { seen, cutShort } = await sendLoad({ kind: 'trace', people: 500, qps: 0.5 }, tiny.target, options);
  expect(cutShort).toBeUndefined();
  expect(seen.seconds).toBeGreaterThan(0.79);
});

test.skipIf(GHZ === undefined)('ghz and the replayer see the same of the same', async () => {
  const check = await crossCheck(50, tiny.target, options);
  for (const { seen } of [...check.ghz, ...check.replayer]) {
    expect(seen.good).toBe(seen.calls);
    expect(seen.calls).toBeLessThanOrEqual(50 * seen.seconds + 1);
    plausible(seen.latencyMs.p50);
  }
  expect(describeCrossCheck(check)).toMatch(
    /^Of the same 50 pages a second .*the replayer p50 .* \(medians of 3 turns\)\. /,
  );
});

test.skipIf(GHZ === undefined)('degraded pages are no goodput, whether or not the sender reads answers', async () => {
  const worse = await startTinyServer({ serviceMs: 2, degradedEvery: 10 });
  try {
    const ghz = await sendLoad({ kind: 'open', qps: 100 }, worse.target, options);
    expect(ghz.seen.degraded).toBeGreaterThan(0);
    expect(ghz.seen.good).toBe(ghz.seen.calls - ghz.seen.degraded);
    expect(ghz.notes).toContainEqual(expect.stringContaining('degraded pages too'));
    const trace = await sendLoad({ kind: 'trace', people: 500, qps: 100 }, worse.target, options);
    expect(trace.seen.degraded).toBeGreaterThan(0);
    expect(trace.seen.good).toBe(trace.seen.calls - trace.seen.degraded);
    expect(trace.notes.join()).not.toContain('degraded');
  } finally {
    await worse.server.stop(0);
  }
});

test('a replayer that falls behind says so', async () => {
  const load = { kind: 'trace', people: 500, qps: 100 } as const;
  const { seen, notes } = await sendLoad(load, tiny.target, { ...options, maxInFlight: 1 });
  expect(seen.errors.NOT_SENT).toBeGreaterThan(0);
  expect(notes).toContainEqual(expect.stringMatching(/^the sender fell behind: \d+ pages were not sent/));
});

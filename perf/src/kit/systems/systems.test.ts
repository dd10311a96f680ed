import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, KvSource, type OnepassClient, type RecommendResponse, user } from '@onepass/client';
import { loadRelease, openItems, type Release } from '@onepass/release';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { habitsOf, type MeasuredPage, pageOf } from '../../page.js';
import { personId, writeHistories } from '../../people.js';
import { gatewayTarget } from '../load/index.js';
import { gained } from '../load/observe.js';
import type { RunningSystem } from './running-system.js';
import { budgetMsOf, commonSettings, type MeshSystemName, type SystemOptions, startSystem } from './systems.js';

const NOW = Date.now();
/** Four tensors of 40 tokens, each on pages of its own. */
const SLOT_MIB = 32 / 1024;
/** Of 25 slots a multiple of 4 is taken. */
const KV_MIB = 25 * SLOT_MIB;
const SLOTS = 24;
/** Of every encoder that keeps nothing. */
const SCRATCH_SLOTS = 128;
const PEOPLE = 3;
const BUDGET_MS = '30000';

const folder = mkdtempSync(join(tmpdir(), 'onepass-systems-'));
let release: Release;
let page: MeasuredPage;
/** Of A's people: what every other system must answer too. */
let pagesOfA: RecommendResponse[];

beforeAll(async () => {
  release = await loadRelease(SMOKE_RELEASE);
  page = pageOf(release);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Starts a system, gives its people histories, and ends it. The services run as they are built: `npm test` builds before it tests. */
async function withSystem(
  name: MeshSystemName,
  use: (system: RunningSystem, onepass: OnepassClient) => Promise<void>,
  more: Partial<SystemOptions> = {},
) {
  const { model } = release.manifest;
  const shape = { n: model.window, k: page.candidates, layers: model.layers, width: model.width };
  // Other tests take the processor: what is tested is what pages hold, not how soon they come.
  const settings = commonSettings(shape, { ONEPASS_BUDGET_MS: BUDGET_MS, ONEPASS_KV_REST_MS: BUDGET_MS });
  const system = await startSystem(name, { releaseDir: SMOKE_RELEASE, kvMiB: KV_MIB, folder, settings, ...more });
  const onepass = connect(system.address);
  const pids = Object.values(system.pids());
  try {
    const { ids } = await openItems(release);
    await writeHistories(system.address, ids, habitsOf(release, page), { count: PEOPLE, length: 20, nowMs: NOW });
    await use(system, onepass);
  } finally {
    onepass.close();
    await system.stop();
    expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  }
}

const pageFor = (onepass: OnepassClient, person: number, more: object = {}) =>
  onepass.recommend({ person: user(personId(person)), ...page, asOfMs: BigInt(NOW), ...more });

/** A person comes, comes again, acts, and comes again: where was the KV of each page? */
async function sourcesOf(onepass: OnepassClient): Promise<KvSource[]> {
  const first = await pageFor(onepass, 0);
  const again = await pageFor(onepass, 0);
  const { usual, surface } = habitsOf(release, page);
  const event = { eventId: 'acted', itemId: first.items[0]!.itemId, actions: [...usual], surface, timeMs: BigInt(NOW) };
  const { historySequence } = await onepass.logActions({ person: user(personId(0)), events: [event] });
  const after = await pageFor(onepass, 0, { minimumHistorySequence: historySequence });
  const pages = [first, again, after];
  expect(pages.flatMap(({ degraded }) => degraded)).toEqual([]);
  return pages.map(({ kvSource }) => kvSource);
}

async function expectPagesOfA(onepass: OnepassClient): Promise<void> {
  for (let person = 1; person < PEOPLE; person += 1) {
    const own = await pageFor(onepass, person);
    const { items, degraded } = pagesOfA[person]!;
    expect([own.degraded, degraded]).toEqual([[], []]);
    expect(own.items.map((item) => item.itemId)).toEqual(items.map((item) => item.itemId));
    const differences = own.items.flatMap(({ probabilities }, i) =>
      probabilities.map((probability, action) => Math.abs(probability - items[i]!.probabilities[action]!)),
    );
    expect(Math.max(...differences)).toBeLessThan(1e-4);
  }
}

/** Pages since the start, by source of the KV that they were ranked on. */
const kvSources = ({ address, pids }: RunningSystem) => gatewayTarget(address, pids).kv();

/** Many pages of one person at a time, none of which may find its KV gone. */
async function expectWholeInParallel(system: RunningSystem, onepass: OnepassClient): Promise<void> {
  const before = await kvSources(system);
  const pages = await Promise.all(Array.from({ length: 24 }, () => pageFor(onepass, 0)));
  expect(pages.flatMap(({ degraded }) => degraded)).toEqual([]);
  expect(gained(before, await kvSources(system))).toEqual({ recompute: 24 });
  const { ranking = {} } = await system.measurements();
  expect(ranking['onepass.kv.misses']).toBe(0);
}

const { RECOMPUTE, SLOT, APPEND } = KvSource;
const kvRequests = (source: string) => `onepass.kv.requests{onepass.kv.source="${source}"}`;

test('A: one encoder, and KV kept from request to request', { timeout: 90_000 }, async () => {
  await withSystem('A', async (system, onepass) => {
    expect(Object.keys(system.pids()).sort()).toEqual(['gateway', 'ranking', 'retrieval', 'user-encoder']);
    expect(await sourcesOf(onepass)).toEqual([RECOMPUTE, SLOT, APPEND]);
    expect(await kvSources(system)).toEqual({ recompute: 1, slot: 1, append: 1 });
    pagesOfA = await Promise.all([0, 1, 2].map((person) => pageFor(onepass, person)));
    const { 'user-encoder': encoder = {} } = await system.measurements();
    expect([system.kvMiB, encoder['onepass.kv.slots.limit']]).toEqual([SLOTS * SLOT_MIB, SLOTS]);
  });
});

test('B: two encoders that keep nothing, and the pages of A', { timeout: 90_000 }, async () => {
  await withSystem('B', async (system, onepass) => {
    expect(await sourcesOf(onepass)).toEqual([RECOMPUTE, RECOMPUTE, RECOMPUTE]);
    await expectPagesOfA(onepass);
    const { 'user-encoder': first = {}, 'ranking-encoder': second = {} } = await system.measurements();
    for (const encoder of [first, second]) {
      expect(encoder).toMatchObject({ [kvRequests('recompute')]: 5, 'onepass.kv.slots.limit': SCRATCH_SLOTS });
    }
    expect(system.kvMiB).toBe(0);
    await expectWholeInParallel(system, onepass);
  });
});

test("B': two encoders that keep their own KV, in A's memory together, and the pages of A", {
  timeout: 90_000,
}, async () => {
  await withSystem('Bprime', async (system, onepass) => {
    expect(await sourcesOf(onepass)).toEqual([RECOMPUTE, SLOT, APPEND]);
    await expectPagesOfA(onepass);
    const { 'user-encoder': first = {}, 'ranking-encoder': second = {} } = await system.measurements();
    for (const encoder of [first, second]) {
      expect(encoder).toMatchObject({ [kvRequests('slot')]: 1, [kvRequests('append')]: 1 });
      expect(encoder['onepass.kv.slots.limit']).toBe(SLOTS / 2);
    }
    expect(system.kvMiB).toBe(SLOTS * SLOT_MIB);
  });
});

test('C: one encoder that keeps nothing, whose KV ranking reads all the same, and the pages of A', {
  timeout: 90_000,
}, async () => {
  await withSystem('C', async (system, onepass) => {
    expect(Object.keys(system.pids())).not.toContain('ranking-encoder');
    expect(await sourcesOf(onepass)).toEqual([RECOMPUTE, RECOMPUTE, RECOMPUTE]);
    await expectPagesOfA(onepass);
    await expectWholeInParallel(system, onepass);
    const { ranking = {} } = await system.measurements();
    expect(ranking['onepass.rank.candidates']).toBeGreaterThan(0);
  });
});

test("two cells, started where B' was: four pools in the same memory, and the histories are still there", {
  timeout: 90_000,
}, async () => {
  const use = async (system: RunningSystem, onepass: OnepassClient) => {
    await expectPagesOfA(onepass);
    const said = Object.entries(await system.measurements()).filter(([role]) => role.includes('encoder'));
    expect(said.map(([, encoder]) => encoder['onepass.kv.slots.limit'])).toEqual(Array(4).fill(SLOTS / 4));
    expect([system.kvMiB, Object.keys(system.pids()).length]).toEqual([SLOTS * SLOT_MIB, 8]);
    // What person 0 did before the restart.
    expect((await pageFor(onepass, 0)).historySequence).toBe(21n);
  };
  await withSystem('Bprime', use, { cells: 2 });
});

test('the time of a page grows with its matrix products, within what the gateway takes', () => {
  const usual = { n: 256, k: 200, layers: 4, width: 128 };
  expect(budgetMsOf(usual)).toBe(300);
  expect(budgetMsOf({ ...usual, n: 16 })).toBe(300);
  expect(budgetMsOf({ n: 512, k: 400, layers: 6, width: 256 })).toBe(300 * 12);
  expect(budgetMsOf({ n: 992, k: 656, layers: 48, width: 1024 })).toBe(60_000);
});

test('settings of a run win over the usual ones, and the environment over neither', () => {
  const { ONEPASS_INFERENCE_THREADS, ONEPASS_FAULTS } = commonSettings(
    { n: 1, k: 1, layers: 1, width: 1 },
    { ONEPASS_INFERENCE_THREADS: '3' },
  );
  expect([ONEPASS_INFERENCE_THREADS, ONEPASS_FAULTS]).toEqual(['3', '']);
});

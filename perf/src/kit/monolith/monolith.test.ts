import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, KvSource, type OnepassClient, type RecommendResponse, user, View } from '@onepass/client';
import { repositoryRoot } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, expect, test } from 'vitest';
import { habitsOf, pageOf } from '../../page.js';
import { personId, writeHistories } from '../../people.js';
import { gatewayTarget } from '../load/index.js';
import type { RunningSystem } from '../systems/running-system.js';
import { commonSettings, startSystem } from '../systems/systems.js';
import { startMonolith } from './monolith.js';

const python = join(repositoryRoot, 'perf', 'monolith', '.venv', 'bin', 'python');
const NOW = Date.now();
const PEOPLE = 4;
/** Within the window of 32: the mesh and G have the same past then, however it came to be. */
const LENGTH = 20;
const KV_MIB = 4;
const TOLERANCE = 1e-3;

const folder = mkdtempSync(join(tmpdir(), 'onepass-monolith-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settings = commonSettings({ n: 32, k: 200, layers: 2, width: 32 }, { ONEPASS_BUDGET_MS: '30000' });
const options = { releaseDir: SMOKE_RELEASE, kvMiB: KV_MIB, folder, settings };

/** Gives a system's people their histories; ends it at last. */
async function withPeople<T>(system: RunningSystem, use: (onepass: OnepassClient) => Promise<T>): Promise<T> {
  const release = await loadRelease(SMOKE_RELEASE);
  const onepass = connect(system.address);
  const pids = Object.values(system.pids());
  try {
    const { ids } = await openItems(release);
    const many = { count: PEOPLE, length: LENGTH, nowMs: NOW };
    await writeHistories(system.address, ids, habitsOf(release, pageOf(release)), many);
    return await use(onepass);
  } finally {
    onepass.close();
    await system.stop();
    expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  }
}

const WANTED = [
  { surface: 'home', pageSize: 20, candidates: 200 },
  {
    surface: 'home',
    pageSize: 20,
    candidates: 400,
    excludedItemIds: ['i00001', 'i00002'],
    utilityWeights: { click: 5 },
  },
  { surface: 'search', context: { case: 'search', value: { query: { case: 'text', value: 'teal rustic mug' } } } },
  { surface: 'related', context: { case: 'related', value: { itemIds: ['i00007', 'i00100'] } } },
  {
    surface: 'home',
    features: { mobile: 1 },
    outcomeBudgets: [
      { outcome: 'save', share: 2 },
      { outcome: 'any', share: 1 },
    ],
  },
] as const;

/** Of every person and of nobody, all kinds of pages. */
async function pagesOf(onepass: OnepassClient): Promise<RecommendResponse[]> {
  const pages: RecommendResponse[] = [];
  for (let person = 0; person <= PEOPLE; person += 1) {
    const who = person < PEOPLE ? { person: user(personId(person)) } : {};
    for (const wanted of WANTED) {
      const request = { ...who, ...wanted, asOfMs: BigInt(NOW) };
      pages.push(await onepass.recommend(request as unknown as Parameters<OnepassClient['recommend']>[0]));
    }
  }
  return pages;
}

function expectSamePage(own: RecommendResponse, page: RecommendResponse): void {
  expect(page.degraded).toEqual([]);
  expect(own.releaseId).toBe(page.releaseId);
  expect(own.actions).toEqual(page.actions);
  expect(own.historySequence).toBe(page.historySequence);
  expect(own.items).toHaveLength(page.items.length);
  const theirs = new Map(page.items.map((item) => [item.itemId, item]));
  const common = own.items.flatMap((item) => {
    const other = theirs.get(item.itemId);
    return other === undefined ? [] : [[item, other] as const];
  });
  // The mesh searches some partitions, which may miss an item that G finds; all that both bring is scored alike, in one order.
  expect(common.length).toBeGreaterThanOrEqual(0.9 * page.items.length);
  let before = Number.POSITIVE_INFINITY;
  for (const [item, other] of common) {
    expect(Math.abs(item.utility - other.utility)).toBeLessThan(TOLERANCE);
    item.probabilities.forEach((probability, action) => {
      expect(Math.abs(probability - other.probabilities[action]!)).toBeLessThan(TOLERANCE);
    });
    expect(other.utility).toBeLessThan(before + TOLERANCE);
    before = other.utility;
  }
}

test.skipIf(!existsSync(python))(
  'pages of G, with KV kept and without, are the pages of the mesh',
  { timeout: 300_000 },
  async () => {
    const expected = await withPeople(await startSystem('D', options), pagesOf);
    for (const name of ['G', 'Gkv'] as const) {
      const system = await startMonolith(name, { ...options, python: async () => python });
      await withPeople(system, async (onepass) => {
        const pages = await pagesOf(onepass);
        for (const [i, page] of pages.entries()) expectSamePage(page, expected[i]!);
      });
    }
  },
);

test.skipIf(!existsSync(python))('Gkv keeps KV and appends to it, G does neither', { timeout: 180_000 }, async () => {
  const { RECOMPUTE, SLOT, APPEND } = KvSource;
  const wanted = { G: [RECOMPUTE, RECOMPUTE, RECOMPUTE], Gkv: [RECOMPUTE, SLOT, APPEND] };
  for (const name of ['G', 'Gkv'] as const) {
    const system = await startMonolith(name, { ...options, python: async () => python });
    await withPeople(system, async (onepass) => {
      const person = user(personId(0));
      const ask = () => onepass.recommend({ person, surface: 'home', view: View.EXPLAIN });
      const [first, again] = [await ask(), await ask()];
      const event = { eventId: 'new', itemId: first.items[0]!.itemId, actions: ['click'], surface: 'home' };
      const { results } = await onepass.logActions({ person, events: [event, { ...event, itemId: 'nobody' }] });
      expect(results.map(({ sequence }) => Number(sequence))).toEqual([LENGTH + 1, LENGTH + 1]);
      const after = await ask();
      expect([first, again, after].map(({ kvSource }) => kvSource)).toEqual(wanted[name]);
      expect(after.items.map(({ itemId }) => itemId)).not.toContain(event.itemId);
      expect(after.explanation).toMatchObject({ kvTokens: LENGTH + 1, ranked: 200 });
      expect(after.coverage).toMatchObject({ shardsTotal: 1, shardsAnswered: 1 });
      const sources = await gatewayTarget(system.address, system.pids).kv();
      expect(sources).toEqual(name === 'G' ? { recompute: 3 } : { recompute: 1, slot: 1, append: 1 });
      expect(system.kvMiB).toBe(name === 'G' ? 0 : KV_MIB);
      await expect(onepass.recommend({ person, surface: 'attic' })).rejects.toThrow(/surface/);
      await expect(onepass.recommend({ person, surface: 'home', filters: [{ attribute: 'price' }] })).rejects.toThrow(
        /filters is not written/,
      );
    });
  }
});

test.skipIf(!existsSync(python))(
  'many pages at once, in memory for two people, are the same',
  { timeout: 180_000 },
  async () => {
    const system = await startMonolith('Gkv', { ...options, kvMiB: 0.04, python: async () => python });
    await withPeople(system, async (onepass) => {
      const ask = (person: number) =>
        onepass.recommend({ person: user(personId(person)), surface: 'home', asOfMs: BigInt(NOW) });
      const alone: RecommendResponse[] = [];
      for (let person = 0; person < PEOPLE; person += 1) alone.push(await ask(person));
      const pages = await Promise.all(Array.from({ length: 24 }, (_, i) => ask((i * i) % PEOPLE)));
      for (const [i, page] of pages.entries()) expectSamePage(page, alone[(i * i) % PEOPLE]!);
      const { slot = 0, recompute = 0 } = await gatewayTarget(system.address, system.pids).kv();
      expect(slot + recompute).toBe(PEOPLE + 24);
    });
  },
);

test('without a release, or without Python, one sentence says so', { timeout: 60_000 }, async () => {
  const none = startMonolith('G', { ...options, python: async () => join(folder, 'no-python') });
  await expect(none).rejects.toThrow(/^system G did not start: .*no-python/);
  if (!existsSync(python)) return;
  const broken = startMonolith('G', { ...options, releaseDir: folder, python: async () => python });
  await expect(broken).rejects.toThrow(/^system G did not start: onepass_monolith: .*manifest\.json/);
});

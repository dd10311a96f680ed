import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, Degraded_Reason, type OnepassClient, type RecommendResponse, user, View } from '@onepass/client';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Mesh } from './mesh.js';

/** Two whole meshes, each with a gateway and an encoder of its own, before one history. */
const dataDir = mkdtempSync(join(tmpdir(), 'onepass-two-'));
const encoder: Record<string, string> = {};
const meshes: Mesh[] = [];
const clients: OnepassClient[] = [];
let one: OnepassClient;
let two: OnepassClient;

beforeAll(async () => {
  for (const own of [{}, encoder]) {
    // Other tests take the processor: what is tested is what pages hold, not how soon they come.
    const overrides = { gateway: { ONEPASS_BUDGET_MS: '10000' }, 'user-encoder': own };
    const options = { releaseDir: SMOKE_RELEASE, port: undefined, dataDir, overrides, backOff: () => 100 };
    const mesh = await Mesh.prepare(options);
    meshes.push(mesh);
    await mesh.start();
    clients.push(connect(mesh.address('gateway')));
  }
  [one, two] = clients as [OnepassClient, OnepassClient];
});
afterAll(async () => {
  for (const client of clients) client.close();
  for (const mesh of meshes) await mesh.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const save = (at: OnepassClient, person: string, itemId: string) =>
  at.logActions({
    person: user(person),
    events: [{ eventId: `save-${itemId}`, itemId, actions: ['save'], surface: 'home' }],
  });
const home = (at: OnepassClient, person: string, more: object = {}) =>
  at.recommend({ person: user(person), surface: 'home', pageSize: 10, ...more });
const idsOf = (page: RecommendResponse) => page.items.map((item) => item.itemId);
const reasons = (page: RecommendResponse) => page.degraded.map((d) => Degraded_Reason[d.reason]);

test('what one gateway took the other has seen, by its encoder and at once, write after write', async () => {
  const shown = idsOf(await home(one, 'ada', { pageSize: 30 }));
  for (const [i, itemId] of shown.entries()) {
    const [writer, reader] = i % 2 === 0 ? [one, two] : [two, one];
    const { historySequence } = await save(writer, 'ada', itemId);
    const page = await home(reader, 'ada', { minimumHistorySequence: historySequence });
    expect([page.historySequence, page.degraded, page.warnings]).toEqual([BigInt(i + 1), [], []]);
    expect(idsOf(page)).not.toContain(itemId);
  }
});

test('pages are explained: utilities add up, and the page is that of a request without explanation', async () => {
  const filters = [{ attribute: 'category', condition: { case: 'noneOf' as const, value: { values: ['ceramics'] } } }];
  const request = {
    filters,
    asOfMs: BigInt(Date.now()),
    outcomeBudgets: [
      { outcome: 'click', share: 1 },
      { outcome: 'any', share: 1e-9 },
      { outcome: 'click', share: 3 },
    ],
  };
  const plain = await home(one, 'ada', request);
  const page = await home(one, 'ada', { ...request, view: View.EXPLAIN });
  expect(page.items).toEqual(plain.items);
  const { items, filtered, mergedInto } = page.explanation!;
  expect(mergedInto[0]).toBe(2);
  for (const [i, { contributions }] of items.entries()) {
    const sum = Object.values(contributions).reduce((a, b) => a + b, 0);
    expect(Math.abs(sum - page.items[i]!.utility)).toBeLessThan(1e-6);
  }
  expect(filtered.some((item) => item.detail === 'filters[0]: category none_of')).toBe(true);
  const distinct = new Set([...idsOf(page), ...filtered.map((item) => item.itemId)]);
  expect(distinct.size).toBe(page.items.length + filtered.length);
});

test('an encoder that does not see the writes: the page says so, and does not claim to have seen them', async () => {
  await save(two, 'bob', idsOf(await home(two, 'bob'))[0]!);
  const { historySequence } = await save(two, 'bob', idsOf(await home(two, 'bob'))[1]!);
  const before = meshes[1]!.pids()['user-encoder']!;
  encoder.ONEPASS_DATA_DIR = join(dataDir, 'elsewhere');
  process.kill(before, 'SIGKILL');
  await vi.waitFor(
    async () => {
      const page = await home(two, 'bob');
      expect([reasons(page), page.historySequence]).toEqual([[], 0n]);
    },
    { timeout: 20_000 },
  );
  const minimumHistorySequence = historySequence;
  const page = await home(two, 'bob', { minimumHistorySequence });
  expect([reasons(page), page.historySequence]).toEqual([['ENCODER'], 0n]);
  expect(page.warnings).toEqual(['the page has not seen minimum_history_sequence: it is made from sequence 0']);
  expect(page.items).toHaveLength(10);
  // The other cell's encoder sees them.
  expect((await home(one, 'bob', { minimumHistorySequence })).historySequence).toBe(historySequence);
});

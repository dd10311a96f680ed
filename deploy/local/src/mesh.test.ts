import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, KvSource, type OnepassClient, user } from '@onepass/client';
import { EmbeddingType } from '@onepass/contracts';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runDemo } from './demo/demo.js';
import { isRunning } from './fixtures/processes.js';
import { Mesh } from './mesh.js';

/** The services run as they are built: `npm test` builds before it tests. */
const releaseDir = SMOKE_RELEASE;
const silent = { heading() {}, line() {}, detail() {} };

let mesh: Mesh;
let onepass: OnepassClient;
beforeAll(async () => {
  // Other tests take the processor: what is tested is what pages hold, not how soon they come.
  vi.stubEnv('ONEPASS_BUDGET_MS', '10000');
  mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: undefined });
  await mesh.start();
  onepass = connect(mesh.address('gateway'));
});
afterAll(async () => {
  onepass?.close();
  const pids = Object.values(mesh.pids());
  await mesh.stop();
  expect(pids.filter(isRunning)).toEqual([]);
});

const save = (person: string, itemId: string, timeMs = 0) =>
  onepass.logActions({
    person: user(person),
    events: [{ eventId: `save-${itemId}`, itemId, actions: ['save'], surface: 'home', timeMs: BigInt(timeMs) }],
  });
const home = (person: string, minimumHistorySequence = 0n) =>
  onepass.recommend({ person: user(person), surface: 'home', pageSize: 10, minimumHistorySequence });
const itemIds = (page: { items: { itemId: string }[] }) => page.items.map((item) => item.itemId);

test('an action changes the next page, and only the new action is encoded', async () => {
  const demo = (await runDemo(onepass, silent))!;
  expect(demo.home.degraded).toEqual([]);
  expect(demo.home.items.length).toBeGreaterThanOrEqual(8);
  expect(demo.home.items.every((item) => item.probabilities.length === demo.home.actions.length)).toBe(true);
  expect(demo.related?.items.length).toBeGreaterThan(0);
  // A page about an item does not show that item.
  expect(itemIds(demo.related ?? demo.home)).not.toContain(demo.home.items[0]?.itemId);
  expect(demo.search?.items.length).toBeGreaterThan(0);
  expect(demo.search?.degraded).toEqual([]);
  expect(demo.saved.length).toBeGreaterThan(0);

  const { homeAfter } = demo;
  expect(homeAfter.degraded).toEqual([]);
  expect(homeAfter.kvSource).toBe(KvSource.APPEND);
  expect(homeAfter.historySequence).toBe(demo.home.historySequence + BigInt(demo.saved.length));
  expect(itemIds(homeAfter)).not.toEqual(itemIds(demo.home));
  // Acted on is seen: not shown again.
  expect(itemIds(homeAfter).filter((id) => demo.saved.includes(id))).toEqual([]);
});

test('the next page without a new action takes the KV as it lies, and is the same page', async () => {
  // Of yesterday: the time since the last action is part of a request, and two requests are a moment apart.
  const { historySequence } = await save('calm', itemIds(await home('calm'))[0] ?? '', Date.now() - 86_400_000);
  const [before, after] = [await home('calm', historySequence), await home('calm')];
  expect(after.kvSource).toBe(KvSource.SLOT);
  expect(itemIds(after)).toEqual(itemIds(before));
});

test('a text and the embedding that training has of it give the same page, and a logged query a new token', async () => {
  const { texts }: { texts: { text: string; embedding: number[] }[] } = JSON.parse(
    readFileSync(join(releaseDir, 'vectors/tokenizer.json'), 'utf8'),
  );
  const { text, embedding } = texts[0]!;
  const values = new Uint8Array(Float32Array.from(embedding).buffer);
  const own = { values, type: EmbeddingType.F32, dimension: embedding.length };
  const page = { surface: 'search', pageSize: 10 };
  const byText = await onepass.recommend({
    ...page,
    context: { case: 'search', value: { query: { case: 'text', value: text } } },
  });
  const given = await onepass.recommend({
    ...page,
    context: { case: 'search', value: { query: { case: 'embedding', value: own } } },
  });
  expect([byText.degraded, given.degraded]).toEqual([[], []]);
  expect(itemIds(byText)).toEqual(itemIds(given));
  byText.items.forEach((item, i) => {
    expect(Math.abs(item.utility - given.items[i]!.utility)).toBeLessThan(1e-4);
  });
  const event = { eventId: 'q', queryText: text, actions: ['search'], surface: 'search' };
  const { results, historySequence } = await onepass.logActions({ person: user('searcher'), events: [event] });
  expect(results).toMatchObject([{ reason: '' }]);
  expect((await home('searcher', historySequence)).kvSource).toBe(KvSource.RECOMPUTE);
});

test.each(['ranking', 'user-encoder', 'retrieval', 'gateway'])(
  'killed %s comes back, and whole pages with it',
  async (role) => {
    const person = `survivor-of-${role}`;
    const [first] = itemIds(await home(person));
    const { historySequence } = await save(person, first ?? '');
    const killed = mesh.pids()[role] ?? 0;
    process.kill(killed, 'SIGKILL');
    await vi.waitFor(
      async () => {
        expect(mesh.pids()[role]).not.toBe(killed);
        const page = await home(person, historySequence);
        expect(page.degraded).toEqual([]);
        expect(page.items).toHaveLength(10);
        // The acknowledged action is still known.
        expect(page.historySequence).toBe(historySequence);
        expect(itemIds(page)).not.toContain(first);
      },
      { timeout: 25_000, interval: 50 },
    );
  },
);

test('a page while ranking is gone is answered all the same, in retrieval order', async () => {
  process.kill(mesh.pids().ranking ?? 0, 'SIGKILL');
  const page = await home('during');
  expect(page.items).toHaveLength(10);
  await vi.waitFor(async () => expect((await home('during')).degraded).toEqual([]), { timeout: 25_000, interval: 50 });
});

test('the KV pool is removed with the mesh, also after a crash of its writer', async () => {
  const own = await Mesh.prepare({ releaseDir, port: undefined, dataDir: undefined });
  await own.start();
  const cellDir = own.plans[0]?.env.ONEPASS_CELL_DIR ?? '';
  expect(existsSync(join(cellDir, 'kv.pool'))).toBe(true);
  await own.stop();
  expect(existsSync(cellDir)).toBe(false);
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, KvSource, type OnepassClient, type RecommendResponse, user, View } from '@onepass/client';
import { DEVICE_GRAPHS, SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { isRunning } from './fixtures/processes.js';
import { Mesh, type MeshOptions } from './mesh.js';

/** Of probabilities. */
const EQUAL = 1e-4;
/** Some hours ago, so that it is past by every clock: pages are asked for with a fixed "now". */
const AS_OF_MS = BigInt(Date.now() - 6 * 3_600_000);
const MINUTE = 60_000n;

interface Running {
  readonly mesh: Mesh;
  readonly onepass: OnepassClient;
}

/** The services run as they are built: `npm test` builds before it tests. */
async function start(more: Partial<MeshOptions> = {}, own: Record<string, string> = {}): Promise<Running> {
  // Other tests take the processor: what is tested is what pages hold, not how soon they come.
  const settings = { ONEPASS_BUDGET_MS: '10000', ONEPASS_EXECUTION_PROVIDER: 'cpu', ...own };
  const usual = { releaseDir: SMOKE_RELEASE, port: undefined, dataDir: undefined, settings };
  const mesh = await Mesh.prepare({ ...usual, ...more });
  await mesh.start();
  return { mesh, onepass: connect(mesh.address('gateway')) };
}

let shared: Running;
let device: Running;
beforeAll(async () => {
  [shared, device] = await Promise.all([
    start(),
    start({ deviceGraphs: DEVICE_GRAPHS.smoke }, { ONEPASS_WARM_TIER: 'disk' }),
  ]);
});
afterAll(async () => {
  for (const { mesh, onepass } of [device, shared].filter(Boolean)) {
    onepass.close();
    const pids = Object.values(mesh.pids());
    await mesh.stop();
    expect(pids.filter(isRunning)).toEqual([]);
  }
});

const items: string[] = JSON.parse(readFileSync(`${SMOKE_RELEASE}/items/popular.json`, 'utf8')).home;

/** So many actions of a person, told to both meshes. */
async function act(person: string, count: number, from = 0): Promise<void> {
  const events = Array.from({ length: count }, (_, at) => {
    const i = from + at;
    const what =
      i % 5 === 3
        ? { queryText: `query ${i}`, actions: ['search'] }
        : { itemId: items[(i * 7) % 30]!, actions: ['click'] };
    return { eventId: `e${i}`, ...what, surface: 'home', timeMs: AS_OF_MS - BigInt(100 - i) * MINUTE };
  });
  for (const { onepass } of [shared, device]) await onepass.logActions({ person: user(person), events });
}

type Ask = Parameters<OnepassClient['recommend']>[0];

function page({ onepass }: Running, person: string | undefined, more: Ask = {}): Promise<RecommendResponse> {
  const usual: Ask = { surface: 'home', pageSize: 10, asOfMs: AS_OF_MS, view: View.SCORES };
  return onepass.recommend({ ...usual, ...(person !== undefined && { person: user(person) }), ...more } as Ask);
}

/** The page that both meshes give. */
async function samePage(person: string | undefined, more: Ask = {}): Promise<RecommendResponse> {
  const [here, there] = await Promise.all([page(device, person, more), page(shared, person, more)]);
  expect(here.degraded).toEqual([]);
  expect(there.degraded).toEqual([]);
  expect([here.kvSource, here.historySequence]).toEqual([there.kvSource, there.historySequence]);
  expect(here.items.length).toBeGreaterThan(0);
  const other = new Map(there.items.map((item) => [item.itemId, item]));
  expect(here.items.map(({ itemId }) => itemId).sort()).toEqual([...other.keys()].sort());
  for (const { itemId, probabilities } of here.items) {
    const expected = other.get(itemId)!.probabilities;
    expect(probabilities).toHaveLength(expected.length);
    for (const [i, p] of probabilities.entries()) expect(Math.abs(p - expected[i]!)).toBeLessThan(EQUAL);
  }
  return here;
}

test('one process in place of two, and pages equal those over shared memory', async () => {
  expect(Object.keys(device.mesh.pids()).sort()).toEqual(['device-cell', 'gateway', 'retrieval']);
  await samePage(undefined);
  expect((await samePage('ann')).kvSource).toBe(KvSource.EMPTY);
  await act('ann', 9);
  expect((await samePage('ann')).kvSource).toBe(KvSource.RECOMPUTE);
  expect((await samePage('ann')).kvSource).toBe(KvSource.SLOT);
  await act('ann', 2, 9);
  expect((await samePage('ann')).kvSource).toBe(KvSource.APPEND);
  await act('ann', 40, 11);
  expect((await samePage('ann')).kvSource).toBe(KvSource.RECOMPUTE);
  const text = { case: 'search', value: { query: { case: 'text', value: 'teal mug' } } } as const;
  await samePage('ann', { surface: 'search', context: text });
  await samePage(undefined, { surface: 'search', context: text });
  await samePage('ann', { surface: 'related', context: { case: 'related', value: { itemIds: items.slice(0, 3) } } });
  for (const { onepass } of [shared, device]) await onepass.forgetPerson({ person: user('ann') });
  expect((await samePage('ann')).kvSource).toBe(KvSource.EMPTY);
});

test('it says where it runs, and that it has no warm tier', () => {
  const log = readFileSync(join(device.mesh.logDir, 'device-cell.log'), 'utf8');
  expect(log).toContain('"why":"cpu as set"');
  expect(log).toContain('ONEPASS_WARM_TIER is disk, but a device cell has no warm tier');
});

test('people who come at one time have pages of their own', async () => {
  const people = Array.from({ length: 10 }, (_, i) => `guest ${i}`);
  for (const [i, person] of people.entries()) await act(person, 2 + 3 * i, 4 * i);
  await Promise.all(people.map((person) => samePage(person)));
  await Promise.all(people.map((person) => samePage(person)));
});

test('killed: pages degrade as when a cell is gone, and are whole again when it is back', async () => {
  await act('dan', 5);
  await samePage('dan');
  const killed = device.mesh.pids()['device-cell']!;
  process.kill(killed, 'SIGKILL');
  const meanwhile = await page(device, 'dan');
  expect(meanwhile.items).toHaveLength(10);
  expect(meanwhile.degraded.length).toBeGreaterThan(0);
  await vi.waitFor(
    async () => {
      expect(device.mesh.pids()['device-cell']).not.toBe(killed);
      expect((await page(device, 'dan')).degraded).toEqual([]);
    },
    { timeout: 25_000, interval: 50 },
  );
  await Promise.all([page(device, 'dan'), page(shared, 'dan')]);
  await samePage('dan');
});

test('one of two that is stopped under load: not a page degrades', { timeout: 90_000 }, async () => {
  const two = await start({ deviceGraphs: DEVICE_GRAPHS.smoke, cells: 2 });
  const stopped = two.mesh.pids()['device-cell-2']!;
  const pages: RecommendResponse[] = [];
  let isOver = false;
  const callers = Array.from({ length: 6 }, async (_, i) => {
    while (!isOver) pages.push(await page(two, `visitor ${i} ${pages.length % 20}`));
  });
  try {
    await vi.waitFor(() => expect(pages.length).toBeGreaterThan(100), { timeout: 25_000, interval: 20 });
    process.kill(stopped, 'SIGTERM');
    await vi.waitFor(() => expect([undefined, stopped]).not.toContain(two.mesh.pids()['device-cell-2']), {
      timeout: 25_000,
      interval: 50,
    });
    const began = pages.length;
    await vi.waitFor(() => expect(pages.length).toBeGreaterThan(began + 100), { timeout: 25_000, interval: 20 });
  } finally {
    isOver = true;
    await Promise.allSettled(callers);
    two.onepass.close();
    await two.mesh.stop();
  }
  expect(pages.filter(({ degraded }) => degraded.length > 0)).toEqual([]);
});

test('graphs that are not the release’s are one sentence', async () => {
  await expect(start({ deviceGraphs: DEVICE_GRAPHS.mha })).rejects.toThrow(
    /^onepass device-cell: ONEPASS_DEVICE_GRAPHS: .* has device graphs of made-up weights, served is r-/,
  );
});

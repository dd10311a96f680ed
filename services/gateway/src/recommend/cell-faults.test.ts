import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Degraded_Reason, type RecommendResponse } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import { type CellLine, cellOrder, formatCell, personKey } from '@onepass/routing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { cellLine, errorOf, idsOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { itemId, RELEASE_ID } from '../testing/world.js';

/** Two cells of stage servers, `a` and `b`, before one gateway that reads them from a file. */
let a: Mesh;
let b: Mesh;
let gateway: Mesh;
let folder: string;
let file: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'onepass-cell-faults-'));
  file = join(folder, 'cells');
  [a, b] = await Promise.all([startMesh(), startMesh()]);
  write(lineOf('a', a), lineOf('b', b));
  gateway = await startGateway();
});
afterEach(async () => {
  await Promise.all([gateway, a, b].map((mesh) => mesh.stop()));
  rmSync(folder, { recursive: true });
});

const startGateway = (settings = {}) =>
  startMesh({ cellsFile: file, cellWarmUpMs: 0, retrieval: a.retrieval.server.address, ...settings });
const write = (...lines: CellLine[]) => writeFileSync(file, lines.map((line) => `${formatCell(line)}\n`).join(''));
const lineOf = (name: string, { encoder, ranking }: Mesh, more: Partial<CellLine> = {}) =>
  cellLine(encoder.server.address, ranking.server.address, { name, ...more });

/** People whose cell is `a`. */
const ofA = Array.from({ length: 200 }, (_, i) => `somebody-${i}`).filter(
  (id) => cellOrder(personKey(user(id))!, ['a', 'b'])[0] === 'a',
);
const home = (id = ofA[0]!) => gateway.recommendation.recommend({ person: user(id), surface: 'home', pageSize: 3 });
const degradedOf = (page: RecommendResponse) => page.degraded.map(({ reason }) => Degraded_Reason[reason]);
const BEST = [99, 98, 97].map(itemId);
const expectWhole = (page: RecommendResponse) => expect([idsOf(page), degradedOf(page)]).toEqual([BEST, []]);
const measured = async (name: string) => (await gateway.recommendation.describe({})).measurements[name];
const moved = (reason: string) => measured(`onepass.pages.moved{onepass.move.reason="${reason}"}`);
const cells = async (state: string) => measured(`onepass.cells{onepass.cell.state="${state}"}`);
const untilCells = (state: string, count: number) =>
  vi.waitFor(async () => expect(await cells(state)).toBe(count), { timeout: 10_000, interval: 20 });

test('a cell lost between encode and rank: the page is made at the next one, whole', async () => {
  const { encoder } = a;
  encoder.before = () => a.ranking.stop();
  expectWhole(await home());
  expect([encoder.requests.length, b.encoder.requests.length, b.ranking.requests.length]).toEqual([1, 1, 1]);
  expect(await moved('lost')).toBe(1);
  // From then on nobody asks it.
  expectWhole(await home(ofA[1]));
  expect([encoder.requests.length, await moved('passed_over')]).toEqual([1, 1]);
});

test('a cell that falls silent: the deadline decides, pages degrade, and then the next cell takes over', async () => {
  await gateway.stop();
  gateway = await startGateway({ budgetMs: 2_000 });
  a.encoder.hang();
  const pages: string[][] = [];
  await vi.waitFor(
    async () => {
      pages.push(degradedOf(await home()));
      expect(pages.at(-1)).toEqual([]);
    },
    { timeout: 10_000, interval: 1 },
  );
  // While it was waited for, ranking was not lost too: it was asked at the other cell.
  expect(new Set(pages.slice(0, -1).flat())).toEqual(new Set(['ENCODER']));
  expect(pages.length).toBeLessThan(8);
  a.encoder.before = () => {};
  await untilCells('serving', 2);
  expectWhole(await home());
});

test('encoder and ranking swapped at start: nobody is served worse, and the cell is passed over', async () => {
  await gateway.stop();
  const { encoder, ranking } = lineOf('a', a);
  write(cellLine(ranking, encoder, { name: 'a' }), lineOf('b', b));
  gateway = await startGateway();
  for (const id of ofA.slice(0, 4)) expectWhole(await home(id));
  expect([await cells('passed_over'), a.encoder.requests.length]).toEqual([1, 0]);
  // Mended in the file, it joins.
  write(lineOf('a', a), lineOf('b', b));
  await untilCells('serving', 2);
  expectWhole(await home());
  expect(a.encoder.requests).toHaveLength(1);
});

test('a cell of another release: never a score of it; its people are served by the next one', async () => {
  a.encoder.releaseId = 'r-other';
  expectWhole(await home());
  a.encoder.releaseId = RELEASE_ID;
  expect([await moved('lost'), await cells('passed_over')]).toEqual([1, 1]);
});

test('a cell whose ranking serves another release: the page is ranked by the next one', async () => {
  a.ranking.releaseId = 'r-other';
  expectWhole(await home());
  expect(await cells('passed_over')).toBe(1);
});

test('overload is an answer: nobody moves for it', async () => {
  a.ranking.fail(new OnepassError({ kind: 'overloaded', retryAfterMs: 5 }, 'full'));
  expect(degradedOf(await home())).toEqual(['RANKING']);
  expect([b.encoder.requests.length, await cells('serving')]).toEqual([0, 2]);
});

test('both cells gone: pages without either, in the order of the popular list; and whole when one is back', async () => {
  const stopped = [a, b].flatMap(({ encoder, ranking }) => [encoder.stop(), ranking.stop()]);
  await Promise.all(stopped);
  const page = await home();
  expect([idsOf(page).length, degradedOf(page).sort()]).toEqual([3, ['ENCODER', 'RANKING']]);
  expect(degradedOf(await home()).sort()).toEqual(['ENCODER', 'RANKING']);
  const again = await startMesh();
  try {
    write(lineOf('a', again), lineOf('b', b));
    await untilCells('serving', 1);
    expectWhole(await home());
  } finally {
    await again.stop();
  }
});

test('drained by the file: its people move at once, it is asked to forget still, and comes back', async () => {
  expectWhole(await home());
  write(lineOf('a', a, { state: 'draining' }), lineOf('b', b));
  await untilCells('draining', 1);
  expectWhole(await home());
  expect([a.encoder.requests.length, b.encoder.requests.length, await moved('draining')]).toEqual([1, 1, 1]);
  await gateway.events.forgetPerson({ person: user(ofA[0]!) });
  expect([a.encoder.forgotten, b.encoder.forgotten]).toEqual([[ofA[0]], [ofA[0]]]);
  write(lineOf('a', a), lineOf('b', b));
  await untilCells('serving', 2);
  expectWhole(await home());
  expect(a.encoder.requests).toHaveLength(2);
});

test('a cell that is named no more forgets like the others as long as it runs; when it fails to, so does the call', async () => {
  write(lineOf('b', b));
  await vi.waitFor(async () => expect(await cells('serving')).toBe(1));
  expectWhole(await home());
  a.encoder.beforeForget = () => {
    throw new TypeError('secret');
  };
  const forget = () => gateway.events.forgetPerson({ person: user(ofA[0]!) });
  expect(await errorOf(forget())).toEqual(['unavailable', 'not forgotten yet: the KV of 1 of 2 cells; ask again']);
  a.encoder.beforeForget = () => {};
  await forget();
  expect(a.encoder.forgotten).toEqual([ofA[0]]);
  // Lost a moment ago: it may be back.
  await a.encoder.stop();
  expect((await errorOf(forget()))[1]).toBe('not forgotten yet: the KV of 1 of 2 cells; ask again');
});

test('KV of a new pool: the cell joins, and a part of its people is sent on', async () => {
  await gateway.stop();
  gateway = await startGateway({ cellWarmUpMs: 3_600_000 });
  a.encoder.poolId = 'one';
  await home();
  expect(await cells('joining')).toBe(0);
  a.encoder.poolId = 'two';
  await home();
  expect(await cells('joining')).toBe(1);
  for (const id of ofA) await home(id);
  expect(await moved('joining')).toBeGreaterThan(ofA.length / 2);
});

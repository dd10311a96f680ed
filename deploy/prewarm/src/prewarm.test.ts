import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Degraded_Reason, KvSource, type OnepassClient, user } from '@onepass/client';
import { createClient, type Transport, UserEncoderService } from '@onepass/contracts';
import { type OpenHistoryStore, openLmdbHistory } from '@onepass/history';
import { Mesh } from '@onepass/local';
import { loadRelease, openItems, type Release } from '@onepass/release';
import { cellOrder, personKey } from '@onepass/routing';
import { DEFAULT_RELEASE, SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { prewarmCommand } from './command.suite.js';
import type { Calibration, Cost } from './cost.js';
import { type PrewarmAsk, type PrewarmTelling, prewarm } from './prewarm.js';

const root = mkdtempSync(join(tmpdir(), 'onepass-prewarm-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Other tests take the processor. A cell that comes back has all its people at once: it was warmed meanwhile. */
const gateway = { ONEPASS_BUDGET_MS: '30000', ONEPASS_CELL_WARM_UP_MS: '0' };
const EVENTS = 6;
const usual = { cell: undefined, activeWithinMs: 86_400_000, rate: 400, inFlight: 1, most: undefined, dryRun: false };

interface TestMesh {
  readonly mesh: Mesh;
  readonly dataDir: string;
  readonly onepass: OnepassClient;
  readonly cells: PrewarmAsk['cells'];
  readonly history: OpenHistoryStore;
  readonly release: Release;
  readonly transport: Transport;
}

async function startMesh(name: string, cells: number, encoder: Record<string, string>): Promise<TestMesh> {
  const dataDir = join(root, name);
  const overrides = { gateway, 'user-encoder': encoder };
  const mesh = await Mesh.prepare({
    releaseDir: SMOKE_RELEASE,
    port: undefined,
    dataDir,
    cells,
    overrides,
    backOff: () => 10,
  });
  await mesh.start();
  return {
    mesh,
    dataDir,
    onepass: connect(mesh.address('gateway'), { tls: mesh.tls }),
    cells: mesh.cells,
    history: openLmdbHistory(join(dataDir, 'history')),
    release: await loadRelease(SMOKE_RELEASE),
    transport: mesh.transport,
  };
}

async function stopMesh({ mesh, onepass, history }: TestMesh): Promise<void> {
  onepass.close();
  await history.close();
  await mesh.stop();
}

/** People who never had a page; who comes later in the list acted later. */
async function act({ onepass, release }: TestMesh, people: readonly string[], eventId = 'e'): Promise<void> {
  const { ids } = await openItems(release);
  const begin = Date.now() - 3_600_000;
  for (const [i, person] of people.entries()) {
    const events = Array.from({ length: EVENTS }, (_, j) => ({
      eventId: `${eventId}${j}`,
      itemId: ids[(7 * i + j) % ids.length]!,
      actions: ['click'],
      surface: 'home',
      timeMs: BigInt(begin + 1_000 * i),
    }));
    await onepass.logActions({ person: user(person), events });
  }
}

const named = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}-${i}`);
const page = ({ onepass }: TestMesh, person: string) =>
  onepass.recommend({ person: user(person), surface: 'home', pageSize: 3 });

async function sources(of: TestMesh, people: readonly string[]): Promise<KvSource[]> {
  const found: KvSource[] = [];
  for (const person of people) found.push((await page(of, person)).kvSource);
  return found;
}

function run(of: TestMesh, ask: Partial<PrewarmAsk> = {}, tell: Partial<PrewarmTelling> = {}, signal?: AbortSignal) {
  const silent = { chosen() {}, calibrated() {}, cost() {}, progress() {} };
  const { cells, history, release, transport } = of;
  return prewarm(
    { ...usual, cells, ...ask },
    {
      ...{ history, historyName: 'the test', release, transport },
      signal: signal ?? new AbortController().signal,
      tell: { ...silent, ...tell },
    },
  );
}

describe('a mesh of two cells', () => {
  const people = named('person', 60);
  let mesh: TestMesh;
  beforeAll(async () => {
    mesh = await startMesh('two', 2, {});
    await act(mesh, people);
  });
  afterAll(() => stopMesh(mesh));

  test('a dry run encodes a few, and says what all cost', async () => {
    let [calibration, cost]: [Calibration?, Cost?] = [];
    const report = await run(
      mesh,
      { dryRun: true },
      {
        calibrated: (told) => {
          calibration = told;
        },
        cost: (told) => {
          cost = told;
        },
      },
    );
    expect(report).toMatchObject({ people: 60, ended: 'dry run', tally: { people: { encoded: 20, failed: 0 } } });
    expect(calibration).toMatchObject({ people: 20, tokens: 20 * EVENTS, encodedTokens: 20 * EVENTS });
    expect(cost).toMatchObject({ people: 60, tokens: 60 * EVENTS });
    expect(cost!.kvBytes).toBeGreaterThan(0);
    expect(cost!.computeSeconds).toBeCloseTo((calibration!.computeMs * 3) / 1_000);
    expect(cost!.seconds).toBeGreaterThan(0);
  });

  test('who ends it early keeps what was done', async () => {
    const stopping = new AbortController();
    const report = await run(mesh, {}, { cost: () => stopping.abort() }, stopping.signal);
    expect(report).toMatchObject({ ended: 'interrupted', tally: { done: 20, people: { held: 20, failed: 0 } } });
  });

  test('pages go on meanwhile; afterwards the first page of everybody finds their KV', async () => {
    const visitors = named('visitor', 12);
    await act(mesh, visitors);
    let warming = true;
    const warmed = run(mesh, { rate: 40, activeWithinMs: 86_400_000 }).finally(() => {
      warming = false;
    });
    const degraded: Degraded_Reason[] = [];
    for (let i = 0; warming; i = (i + 1) % visitors.length) {
      degraded.push(...(await page(mesh, visitors[i]!)).degraded.map(({ reason }) => reason));
    }
    const { tally, ended } = await warmed;
    expect(ended).toBe('whole');
    expect(tally).toMatchObject({ done: 72, people: { refused: 0, failed: 0, empty: 0 } });
    expect(degraded).toEqual([]);
    expect(new Set(await sources(mesh, people))).toEqual(new Set([KvSource.SLOT]));
    await act(mesh, people.slice(0, 3), 'more');
    expect(new Set(await sources(mesh, people.slice(0, 3)))).toEqual(new Set([KvSource.APPEND]));
  });

  test('a second time everybody is held', async () => {
    const { tally } = await run(mesh);
    expect(tally.people).toMatchObject({ encoded: 0, held: 72 });
  });

  test('only the people of the cell that is named, who act within the time that is said', async () => {
    const names = mesh.cells.map(({ name }) => name);
    const latest = named('late', 20);
    await mesh.history.append(personKey(user('long-ago'))!, [
      { eventId: 'e', operation: 'add', itemId: 'x', actions: ['click'], surface: 'home', timeMs: 1_000 },
    ]);
    await act(mesh, latest);
    const own = latest.filter((person) => cellOrder(personKey(user(person))!, names)[0] === names[1]);
    expect(own.length).toBeGreaterThan(0);
    const told: string[] = [];
    const report = await run(
      mesh,
      { cell: names[1]!, most: own.length },
      { chosen: ({ name }, { chosen }) => told.push(`${name} ${chosen}`) },
    );
    expect(told).toEqual([`${names[1]} ${own.length}`]);
    expect(report.tally.done).toBe(own.length);
    for (const person of latest) {
      const [source] = await sources(mesh, [person]);
      // Those of the other cell were not warmed; the last ones of 20 and of 72 are not the same.
      if (!own.includes(person)) expect(source).toBe(KvSource.RECOMPUTE);
    }
  });

  test('a cell that dies is waited for, and a second run finds whom it lost', async () => {
    const extra = named('extra', 40);
    await act(mesh, extra);
    const kill = () => process.kill(mesh.mesh.pids()['user-encoder']!, 'SIGKILL');
    const report = await run(mesh, {}, { cost: kill });
    expect(report).toMatchObject({ ended: 'whole', tally: { people: { refused: 0, failed: 0 } } });
    expect(report.tally.done).toBe(report.people);
    const again = await run(mesh);
    expect(again.tally.people.encoded + again.tally.people.restored).toBeGreaterThan(0);
    expect((await run(mesh)).tally.people).toMatchObject({ encoded: 0, failed: 0, held: report.people });
    const first = await sources(mesh, extra);
    expect(new Set(first)).toEqual(new Set([KvSource.SLOT]));
  });

  test('what cannot be is one sentence', async () => {
    const [cell] = mesh.cells;
    const other = { ...mesh, release: await loadRelease(DEFAULT_RELEASE) };
    await expect(run(other)).rejects.toThrow(`the cell ${cell!.name} serves release "${mesh.release.id}", --release `);
    const gone = { ...cell!, name: 'gone', encoder: '127.0.0.1:1' };
    await expect(run(mesh, { cells: [gone] })).rejects.toThrow('the cell gone does not say what it serves: ');
    const elsewhere = openLmdbHistory(join(root, 'elsewhere'));
    await elsewhere.append('a'.repeat(32), [
      { eventId: 'e', operation: 'add', itemId: 'x', actions: [], surface: 'home', timeMs: 0 },
    ]);
    await expect(run({ ...mesh, history: elsewhere })).rejects.toThrow(
      'the cells know no history of the people in the test: they read another one',
    );
    await elsewhere.close();
  });

  test('the command prints the cost before it starts, and Ctrl-C ends it with what was done', async () => {
    const { code, output } = await command(['--rate', '5'], (text) => / cost /.test(text));
    const lines = output.split('\n').map((line) => line.trim().split(/\s{2,}/)[0]);
    expect(lines.indexOf('cost')).toBeGreaterThan(lines.indexOf('calibration'));
    expect(lines).toEqual(expect.arrayContaining(['cell', 'held already', 'not asked for', 'prewarm']));
    expect(output).toMatch(/; interrupted/);
    expect(code).toBe(130);
  });

  test('the command ends with 0 when everybody was reached, and with a sentence where it cannot', async () => {
    expect(await command(['--most', '5', '--rate', '100'])).toMatchObject({ code: 0 });
    const wrong = await command(['--data', join(root, 'no-such-data')]);
    expect(wrong).toMatchObject({ code: 1, output: `--data ${join(root, 'no-such-data')} holds no history\n` });
  });

  const command = (args: readonly string[], isOver?: (text: string) => boolean) =>
    prewarmCommand(
      ['--release', SMOKE_RELEASE, ...(args.includes('--data') ? [] : ['--data', mesh.dataDir]), ...args],
      { ONEPASS_CELLS_FILE: mesh.mesh.cellsFile },
      isOver,
    );
});

describe('a cell of few slots that often refuses', () => {
  let mesh: TestMesh;
  beforeAll(async () => {
    const faults = 'seed=7;Encode:error=overloaded:share=0.3';
    mesh = await startMesh('few', 1, { ONEPASS_KV_SLOTS: '8', ONEPASS_FAULTS: faults });
    await act(mesh, named('person', 30));
  });
  afterAll(() => stopMesh(mesh));

  test('those active last are held, nobody is evicted for them, and refusals are waited out', async () => {
    const told: { chosen: number; active: number }[] = [];
    const { tally } = await run(mesh, {}, { chosen: (_, people) => told.push(people) });
    expect(told).toEqual([{ chosen: 8, active: 30 }]);
    expect(tally.people).toMatchObject({ encoded: 8, refused: 0, failed: 0 });
    const encoder = createClient(UserEncoderService, mesh.mesh.address('user-encoder'), { transport: mesh.transport });
    const { measurements } = await encoder.describe({});
    encoder.close();
    expect(measurements['onepass.kv.evictions']).toBe(0);
    expect(measurements['onepass.kv.requests{onepass.kv.source="recompute"}']).toBe(8);
    // Whom the second run finds are those active last.
    expect((await run(mesh)).tally.people).toMatchObject({ encoded: 0, held: 8 });
  });
});

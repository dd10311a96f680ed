import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, KvSource, type OnepassClient, type RecommendResponse, user } from '@onepass/client';
import { connectTo, RecommendationService } from '@onepass/contracts';
import { type CellLine, cellOrder, formatCell, personKey } from '@onepass/routing';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { Mesh, repositoryRoot } from '../mesh.js';
import { freePorts } from '../ports.js';
import { Supervisor } from '../supervisor.js';
import { reasonsOf } from './broken-mesh.suite.js';

/** Two real cells, the second of which is drained, killed and stopped. */
const PEOPLE = Array.from({ length: 24 }, (_, i) => `somebody-${i}`);
const CELL_2 = ['user-encoder-2', 'ranking-2'] as const;
const PATIENT = { timeout: 25_000, interval: 25 };
/** A process that is to stay away gets a port that is none. */
const own: Record<string, Record<string, string>> = Object.fromEntries(CELL_2.map((role) => [role, {}]));
const folder = mkdtempSync(join(tmpdir(), 'onepass-two-cells-'));

let mesh: Mesh;
let onepass: OnepassClient;
/** Some hours ago, so that it is past by every clock, and every page is the same each time. */
const asOfMs = BigInt(Date.now() - 6 * 3_600_000);
const before = new Map<string, RecommendResponse>();

beforeAll(async () => {
  // Other tests take the processor: what is tested is what pages hold, not how soon they come.
  const gateway = { ONEPASS_BUDGET_MS: '10000', ONEPASS_CELL_WARM_UP_MS: '0' };
  const overrides = { gateway, ...own };
  const common = { releaseDir: SMOKE_RELEASE, port: undefined, dataDir: join(folder, 'data'), backOff: () => 200 };
  mesh = await Mesh.prepare({ ...common, cells: 2, cellsFile: join(folder, 'cells'), overrides });
  await mesh.start();
  onepass = connect(mesh.address('gateway'));
  const event = { itemId: 'i00200', actions: ['click'], surface: 'home', timeMs: asOfMs - 86_400_000n };
  for (const person of PEOPLE) {
    await onepass.logActions({ person: user(person), events: [{ ...event, eventId: 'e' }] });
    before.set(person, await pageOf(person));
  }
});
afterEach(async () => {
  for (const role of CELL_2) {
    delete own[role]!.ONEPASS_PORT;
    const pid = mesh.pids()[role];
    if (pid !== undefined) process.kill(pid, 'SIGCONT');
  }
  mesh.writeCells(mesh.cells);
  await untilCells({ serving: 2 });
});
afterAll(async () => {
  onepass.close();
  await mesh.stop();
  rmSync(folder, { recursive: true });
});

const pageOf = (person: string, at = onepass, options = {}) =>
  at.recommend({ person: user(person), surface: 'home', pageSize: 10, asOfMs }, options);
const isOf = (person: string, cell: string) => cellOrder(personKey(user(person))!, ['cell-1', 'cell-2'])[0] === cell;
const ofCell2 = PEOPLE.filter((person) => isOf(person, 'cell-2'));

function expectSame(person: string, page: RecommendResponse): void {
  const utilities = new Map(before.get(person)?.items.map((item) => [item.itemId, item.utility]));
  expect([reasonsOf(page), page.items.length]).toEqual([[], 10]);
  for (const { itemId, utility } of page.items) expect(utilities.get(itemId)).toBeCloseTo(utility, 4);
}

async function expectAllSame(at = onepass): Promise<Record<string, KvSource>> {
  const sources: Record<string, KvSource> = {};
  for (const person of PEOPLE) {
    const page = await pageOf(person, at);
    expectSame(person, page);
    sources[person] = page.kvSource;
  }
  return sources;
}

async function cellsBy(address = mesh.address('gateway')): Promise<Record<string, number>> {
  const connection = connectTo(address);
  const { measurements } = await connection.client(RecommendationService).describe({});
  connection.close();
  const states = ['joining', 'serving', 'draining', 'passed_over'];
  const counts = states.map(
    (state) => [state, measurements[`onepass.cells{onepass.cell.state="${state}"}`] ?? 0] as const,
  );
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

const untilCells = (states: Record<string, number>, address?: string) =>
  vi.waitFor(async () => expect(await cellsBy(address)).toEqual(states), PATIENT);

function signal(name: NodeJS.Signals): void {
  for (const role of CELL_2) process.kill(mesh.pids()[role]!, name);
}

/** Pages of everybody, several at a time, while something is done; all of them must be whole, and right. */
async function underLoad(work: () => Promise<void>): Promise<RecommendResponse[]> {
  const pages: RecommendResponse[] = [];
  let done = false;
  const reader = async (first: number) => {
    for (let next = first; !done; next += 5) {
      const person = PEOPLE[next % PEOPLE.length]!;
      const page = await pageOf(person);
      expectSame(person, page);
      pages.push(page);
    }
  };
  const readers = Array.from({ length: 4 }, (_, first) => reader(first));
  try {
    await Promise.race([work(), ...readers]);
  } finally {
    done = true;
  }
  await Promise.all(readers);
  return pages;
}

test('people are shared by name, and only those of a cell move when it is drained by the file, as the operator is told to', async () => {
  expect(ofCell2.length).toBeGreaterThan(4);
  await expectAllSame();
  const commands = commandsOf('A cell is to be stopped');
  expect(commands).toHaveLength(2);
  run(commands[0]!);
  await untilCells({ serving: 1, draining: 1 });
  const sources = await expectAllSame();
  for (const person of PEOPLE) {
    expect([person, sources[person]]).toEqual([person, isOf(person, 'cell-2') ? KvSource.RECOMPUTE : KvSource.SLOT]);
  }
  run(commands[1]!);
  await untilCells({ serving: 2 });
  // Nothing was lost: who comes back finds their KV.
  expect(new Set(Object.values(await expectAllSame()))).toEqual(new Set([KvSource.SLOT]));
});

/** The indented lines below a heading of docs/operations.md. */
function commandsOf(heading: string): string[] {
  const text = readFileSync(join(repositoryRoot, 'docs/operations.md'), 'utf8');
  const part = text.slice(text.indexOf(heading)).split('\n**')[0] ?? '';
  return part.split('\n').flatMap((line) => (line.startsWith('    ') ? [line.trim()] : []));
}

function run(command: string): void {
  execFileSync('bash', ['-euc', command.replaceAll('.onepass/data/cells', mesh.cellsFile)]);
}

test('SIGTERM under load: not a page fails or degrades; started again, the cell joins and its people come back', async () => {
  const pids = mesh.pids();
  const pages = await underLoad(async () => {
    signal('SIGTERM');
    await vi.waitFor(
      () => expect(CELL_2.some((role) => [undefined, pids[role]].includes(mesh.pids()[role]))).toBe(false),
      PATIENT,
    );
    await untilCells({ serving: 2 });
  });
  expect(pages.length).toBeGreaterThan(0);
  const sources = await expectAllSame();
  expect(PEOPLE.filter((person) => !isOf(person, 'cell-2')).every((p) => sources[p] === KvSource.SLOT)).toBe(true);
});

test('killed in the middle of pages: they are made at the next cell, with the same scores; back, it begins anew', async () => {
  await underLoad(async () => {
    for (const role of CELL_2) own[role]!.ONEPASS_PORT = 'none';
    signal('SIGKILL');
    await untilCells({ serving: 1, passed_over: 1 });
  });
  const sources = await expectAllSame();
  expect(new Set(Object.values(sources))).toEqual(new Set([KvSource.SLOT]));
  for (const role of CELL_2) delete own[role]!.ONEPASS_PORT;
  await untilCells({ serving: 2 });
  const back = await expectAllSame();
  expect(new Set(ofCell2.map((person) => back[person]))).toEqual(new Set([KvSource.RECOMPUTE]));
});

test('one process of a cell killed: its people are ranked elsewhere, not left unranked', async () => {
  own['ranking-2']!.ONEPASS_PORT = 'none';
  await underLoad(async () => {
    process.kill(mesh.pids()['ranking-2']!, 'SIGKILL');
    await untilCells({ serving: 1, passed_over: 1 });
  });
  await expectAllSame();
});

test('stopped, SIGSTOP: the deadline decides, then the next cell takes over; when it goes on, it is asked again', async () => {
  const person = ofCell2[0]!;
  signal('SIGSTOP');
  await vi.waitFor(async () => {
    const page = await pageOf(person, onepass, { deadlineMs: Date.now() + 1_500 });
    expectSame(person, page);
  }, PATIENT);
  await untilCells({ serving: 1, passed_over: 1 });
  await expectAllSame();
  signal('SIGCONT');
  await untilCells({ serving: 2 });
  expect((await pageOf(person)).kvSource).toBe(KvSource.SLOT);
});

test('both cells gone: pages all the same, that say what they are without; and whole ones when both are back', async () => {
  for (const role of ['user-encoder', 'ranking', ...CELL_2]) process.kill(mesh.pids()[role]!, 'SIGKILL');
  const page = await pageOf(PEOPLE[0]!);
  expect(page.items).toHaveLength(10);
  await untilCells({ serving: 2 });
  await vi.waitFor(expectAllSame.bind(undefined, onepass), PATIENT);
});

test('two gateways that know different cells: the same pages from both, only made anew more often', async () => {
  const [port] = await freePorts('127.0.0.1', 1);
  const first = mesh.plans.find(({ role }) => role === 'gateway')!;
  const file = join(folder, 'other-cells');
  const lines = (cells: readonly CellLine[]) => cells.map((cell) => `${formatCell(cell)}\n`).join('');
  writeFileSync(file, lines(mesh.cells.slice(0, 1)));
  const address = `127.0.0.1:${port}`;
  const env = { ...first.env, ...first.overrides, ONEPASS_PORT: String(port), ONEPASS_CELLS_FILE: file };
  const plans = [{ role: 'gateway', program: first.program, address, env }];
  const other = new Supervisor({ plans, logDir: join(folder, 'other-logs'), onEvent: () => {} });
  await other.start();
  const there = connect(address);
  try {
    for (let round = 0; round < 2; round++) {
      await expectAllSame(there);
      await expectAllSame();
    }
    // It learns of the other cell, without a restart.
    writeFileSync(file, lines(mesh.cells));
    await untilCells({ serving: 2 }, address);
    expect(new Set(Object.values(await expectAllSame(there)))).toEqual(new Set([KvSource.SLOT]));
  } finally {
    there.close();
    await other.stop();
  }
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvSource, type RecommendResponse, user } from '@onepass/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { freePorts } from '../ports.js';
import { Supervisor } from '../supervisor.js';
import { BrokenMesh, reasonsOf } from './broken-mesh.suite.js';

const PEOPLE = Array.from({ length: 24 }, (_, i) => `somebody-${i}`);
const CELL = ['user-encoder', 'ranking'] as const;

const folder = mkdtempSync(join(tmpdir(), 'onepass-second-cell-'));
let broken: BrokenMesh;
let second: Supervisor;
beforeAll(async () => {
  broken = await BrokenMesh.start();
  const [encoder, ranking] = await freePorts('127.0.0.1', 2);
  const ports = { 'user-encoder': encoder, ranking };
  const plans = CELL.map((role) => {
    const plan = broken.mesh.plans.find((p) => p.role === role);
    if (plan === undefined) throw new Error(`no ${role}`);
    const env = { ...plan.env, ONEPASS_CELL_DIR: folder, ONEPASS_PORT: String(ports[role]) };
    return { role, program: plan.program, address: `127.0.0.1:${ports[role]}`, env };
  });
  second = new Supervisor({ plans, logDir: join(folder, 'logs'), onEvent: () => {} });
  await second.start();
  const first = `encoder=${broken.mesh.address('user-encoder')},ranking=${broken.mesh.address('ranking')}`;
  const other = `encoder=127.0.0.1:${encoder},ranking=127.0.0.1:${ranking}`;
  await broken.restart('gateway', { ONEPASS_CELLS: `${first};${other}` });
  await broken.untilWhole();
});
afterAll(async () => {
  await broken.end();
  await second.stop();
  rmSync(folder, { recursive: true });
});

const pageOf = (person: string) => broken.page({ person: user(person) });

test('a cell killed: its people go to the next one, where their KV is made again, with the same scores; and back', async () => {
  const timeMs = BigInt(Date.now() - 86_400_000);
  const event = { eventId: 'e', itemId: 'i00200', actions: ['click'], surface: 'home', timeMs };
  const before = new Map<string, RecommendResponse>();
  for (const person of PEOPLE) {
    await broken.onepass.logActions({ person: user(person), events: [event] });
    before.set(person, await pageOf(person));
  }
  const expectSame = (person: string, page: RecommendResponse) => {
    expect(reasonsOf(page)).toEqual([]);
    const utilities = new Map(before.get(person)?.items.map((item) => [item.itemId, item.utility]));
    for (const { itemId, utility } of page.items) expect(utilities.get(itemId)).toBeCloseTo(utility, 4);
  };
  for (const role of CELL) await broken.takeDown(role);
  await vi.waitUntil(() => CELL.every((role) => broken.mesh.pids()[role] === undefined), { timeout: 20_000 });
  const sources: KvSource[] = [];
  for (const person of PEOPLE) {
    const page = await pageOf(person);
    expectSame(person, page);
    sources.push(page.kvSource);
  }
  expect(new Set(sources)).toEqual(new Set([KvSource.RECOMPUTE, KvSource.SLOT]));
  await broken.mend();
  for (const person of PEOPLE) expectSame(person, await pageOf(person));
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvSource, Mode, user } from '@onepass/client';
import { isServing } from '@onepass/contracts';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { BrokenMesh, detailsOf, PERSON, reasonsOf } from './broken-mesh.suite.js';

const ROLES = ['gateway', 'user-encoder', 'retrieval', 'ranking'] as const;
const folder = mkdtempSync(join(tmpdir(), 'onepass-switches-'));
const file = join(folder, 'switches.json');

let broken: BrokenMesh;
beforeAll(async () => {
  const settings = { ONEPASS_SWITCHES: file };
  broken = await BrokenMesh.start(Object.fromEntries(ROLES.map((role) => [role, settings])));
});
afterEach(async () => {
  turn({});
  await broken.mend();
});
afterAll(async () => {
  await broken.end();
  rmSync(folder, { recursive: true });
});

const turn = (switches: Record<string, boolean>) => writeFileSync(file, JSON.stringify(switches));
const until = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 20_000, interval: 50 });
/** Each of the flags for some of the calls: one process is wrong in many ways. */
const each = (method: string, flags: string[]) => flags.map((flag) => `${method}:${flag}:share=0.15`).join(';');
const logOf = (role: string) => readFileSync(join(broken.mesh.logDir, `${role}.log`), 'utf8');

test('whole: nothing is degraded, and the same page twice is the same', async () => {
  const page = await broken.page();
  expect(reasonsOf(page)).toEqual([]);
  expect(page.coverage).toMatchObject({ shardsTotal: 2, shardsAnswered: 2 });
  expect((await broken.filteredPage()).kvSource).toBe(KvSource.SLOT);
});

test('ranking killed: retrieval order', async () => {
  await broken.takeDown('ranking');
  const page = await broken.filteredPage();
  expect(detailsOf(page)).toEqual(['RANKING: ranking cannot be reached']);
  expect(page.items[0]?.probabilities).toEqual([]);
});

test('ranking stopped: retrieval order, within the deadline', async () => {
  broken.signal('ranking', 'SIGSTOP');
  expect(detailsOf(await broken.filteredPage())).toEqual(['RANKING: ranking was late']);
});

test('ranking slow, wrong or broken: retrieval order', async () => {
  const flags = ['nan', 'wrong_release', 'short', 'truncated', 'error=overloaded'];
  await broken.restart('ranking', { ONEPASS_FAULTS: `Rank:delay=60000ms:share=0.05;${each('Rank', flags)}` });
  await broken.untilSeen([
    'RANKING: ranking was late',
    'RANKING: ranking failed',
    'RANKING: ranking serves another release',
    'RANKING: ranking is overloaded',
  ]);
  await broken.filteredPage();
});

test('user-encoder killed: the popular list, ranked without a past, without what was acted on', async () => {
  await broken.takeDown('user-encoder');
  const page = await broken.filteredPage();
  expect(detailsOf(page)).toEqual(['ENCODER: the user-encoder cannot be reached']);
  expect(page.items[0]).toMatchObject({ sources: [{ name: 'popular' }] });
  expect([page.kvSource, page.historySequence]).toEqual([KvSource.EMPTY, 0n]);
});

test('user-encoder stopped: the popular list, within the deadline', async () => {
  broken.signal('user-encoder', 'SIGSTOP');
  expect(detailsOf(await broken.filteredPage())).toEqual(['ENCODER: the user-encoder was late']);
});

test('user-encoder slow, wrong or broken: the popular list', async () => {
  const flags = ['nan', 'wrong_release', 'short', 'truncated', 'wrong_dimension', 'error=internal'];
  await broken.restart('user-encoder', { ONEPASS_FAULTS: `Encode:hang:share=0.05;${each('Encode', flags)}` });
  await broken.untilSeen([
    'ENCODER: the user-encoder was late',
    'ENCODER: the user-encoder failed',
    'ENCODER: the user-encoder serves another release',
  ]);
  await broken.filteredPage();
});

test('retrieval killed: the popular list from the gateway; under filters UNAVAILABLE, since they could not hold', async () => {
  await broken.takeDown('retrieval');
  const page = await broken.page();
  expect(detailsOf(page)).toEqual(['RETRIEVAL: retrieval cannot be reached']);
  expect([page.items.length, page.items[0]?.sources[0]?.name]).toEqual([10, 'popular']);
  await expect(broken.filteredPage()).rejects.toMatchObject({
    kind: 'unavailable',
    message: 'retrieval cannot be reached, and the filters cannot be evaluated without it',
  });
});

test('retrieval stopped: the popular list, within the deadline', async () => {
  broken.signal('retrieval', 'SIGSTOP');
  expect(detailsOf(await broken.page())).toEqual(['RETRIEVAL: retrieval was late']);
});

test('retrieval wrong or broken: the popular list; some shards: what the others found, coverage said', async () => {
  const flags = ['nan', 'wrong_dimension', 'wrong_release'];
  const shards = 'Leaf0:error=internal:share=0.15;Leaf1:hang:share=0.05';
  await broken.restart('retrieval', { ONEPASS_FAULTS: `${shards};${each('Search', flags)}` });
  await broken.untilSeen([
    'RETRIEVAL: retrieval failed',
    'RETRIEVAL: retrieval serves another release',
    'COVERAGE: 1 of 2 shards answered',
  ]);
});

test('everything stopped: the popular list, within the deadline', async () => {
  for (const role of ['user-encoder', 'retrieval', 'ranking'] as const) broken.signal(role, 'SIGSTOP');
  expect(reasonsOf(await broken.page())).toEqual(['ENCODER', 'RETRIEVAL', 'RANKING']);
});

test('score only answers nothing rather than something wrong', async () => {
  await broken.takeDown('ranking');
  const scored = broken.page({ mode: Mode.SCORE_ONLY, externalCandidates: [{ itemId: 'i00001' }] });
  await expect(scored).rejects.toMatchObject({ kind: 'unavailable' });
});

test('popular_only: neither encoder nor ranking are asked; filters hold', async () => {
  turn({ popular_only: true });
  await until(async () => expect(detailsOf(await broken.page())).toEqual(['SWITCH: the switch popular_only is on']));
  const page = await broken.filteredPage();
  expect(page.stages.map((stage) => stage.stage)).not.toContain('encode');
  expect(page.stages.map((stage) => stage.stage)).not.toContain('rank');
  expect(logOf('gateway')).toContain('"switch":"popular_only","on":true');
});

test('kv_reuse_off: every page is encoded anew, with the same scores', async () => {
  expect((await broken.page()).kvSource).toBe(KvSource.SLOT);
  turn({ kv_reuse_off: true });
  await until(async () => expect((await broken.page()).kvSource).toBe(KvSource.RECOMPUTE));
  expect((await broken.page()).kvSource).toBe(KvSource.RECOMPUTE);
});

test('events_read_only: writes are refused with a sentence, pages go on', async () => {
  turn({ events_read_only: true });
  const event = { itemId: 'i00300', actions: ['click'], surface: 'home' };
  let tries = 0;
  await until(async () => {
    const write = broken.onepass.logActions({ person: user('other'), events: [{ ...event, eventId: `${tries++}` }] });
    await expect(write).rejects.toMatchObject({
      kind: 'unavailable',
      message: 'the switch events_read_only is on: nothing is written',
    });
  });
  expect((await broken.page({ person: user(PERSON) })).degraded).toEqual([]);
});

test('drain: health says so, and whoever calls is answered all the same', async () => {
  turn({ drain: true });
  await until(async () => {
    for (const role of ROLES) expect(await isServing(broken.mesh.address(role), 5_000)).toBe(false);
  });
  expect((await broken.page()).degraded).toEqual([]);
  turn({ drain: false });
  await until(async () => {
    for (const role of ROLES) expect(await isServing(broken.mesh.address(role), 5_000)).toBe(true);
  });
});

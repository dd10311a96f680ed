import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvSource, user } from '@onepass/client';
import { isServing } from '@onepass/contracts';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { BrokenMesh, detailsOf, PERSON } from './broken-mesh.suite.js';

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
const logOf = (role: string) => readFileSync(join(broken.mesh.logDir, `${role}.log`), 'utf8');

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

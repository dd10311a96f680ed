import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleProgram } from '@onepass/testing';
import { afterAll, expect, test, vi } from 'vitest';
import { compactStores, type NewEvent, openStores, type Slate, type StoreSettings } from './index.js';
import { noRedis, startRedis } from './redis-server.suite.js';

const root = mkdtempSync(join(tmpdir(), 'onepass-compact-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const ADA = 'a'.repeat(32);
const BEA = 'b'.repeat(32);
const SECRET = 'what only ada asked for';

const lmdb = (folder: string): StoreSettings => ({
  history: 'lmdb',
  historyTimeoutMs: 5_000,
  historyChecked: 'no',
  dataDir: join(root, folder),
});

function search(eventId: string, queryText: string): NewEvent {
  return { eventId, operation: 'add', queryText, actions: ['click'], surface: 'search', timeMs: 1 };
}

function slate(person: string, slateId: string, queryText: string): Slate {
  const about = { relatedItemIds: [], queryText, queryEmbedding: undefined, features: {} };
  const made = { historySequence: 1, historyHash: 1n, releaseId: 'r', foreign: false, actions: [], degraded: [] };
  // Too large for a page of LMDB's beside others.
  const items = Array.from({ length: 100 }, (_, i) => ({
    itemId: `${queryText} ${i}`,
    position: i,
    utility: 0,
    probabilities: [],
  }));
  return { slateId, person, surface: 'search', timeMs: 1, ...about, ...made, items };
}

/** Writes of two persons, then forgets one of them; answers what is left of the other. */
async function forgetAda(settings: StoreSettings): Promise<unknown> {
  const { history, slates } = await openStores(settings);
  for (let i = 0; i < 200; i++) {
    await history.append(ADA, [search(`a${i}`, `${SECRET} ${i}`)]);
    if (i % 10 === 0) await history.append(BEA, [search(`b${i}`, `bea ${i}`)]);
  }
  await slates.record([slate(ADA, 's-a', SECRET), slate(BEA, 's-b', 'bea')]);
  await slates.addOutcomes(ADA, 's-a', [{ itemId: `${SECRET} 1`, position: 1, visible: true, actions: [] }]);
  await history.forget(ADA);
  await slates.forget(ADA);
  await Promise.all([history.close(), slates.close()]);
  return left(settings);
}

async function left(settings: StoreSettings): Promise<unknown> {
  const { history, slates } = await openStores(settings);
  const persons = [];
  for await (const person of history.persons()) persons.push(person, await history.tail(person, 0, 1_000));
  for await (const one of slates.all()) persons.push(one);
  await Promise.all([history.close(), slates.close()]);
  return persons;
}

/** Whether any file below holds it. */
function holds(directory: string, what: string | Buffer): boolean {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.some((file) => readFileSync(join(file.parentPath, file.name)).includes(what));
}

test('LMDB: what was forgotten lies in the file until it is compacted; all else is as it was', async () => {
  const settings = lmdb('one');
  const before = await forgetAda(settings);
  // Why there is a compaction.
  expect(holds(settings.dataDir, SECRET)).toBe(true);
  const told: string[] = [];
  await compactStores(settings, (store, outcome) => told.push(`${store}: ${outcome}`));
  expect(told).toEqual([
    expect.stringMatching(/^history: 41 records, \d+\.\d -> \d+\.\d MB$/),
    expect.stringMatching(/^slates: 2 records, /),
  ]);
  expect(holds(settings.dataDir, SECRET)).toBe(false);
  expect(holds(settings.dataDir, Buffer.from(ADA, 'hex'))).toBe(false);
  expect(readdirSync(settings.dataDir).sort()).toEqual(['history', 'slates']);
  expect(await left(settings)).toEqual(before);
  expect(before).toHaveLength(3);
});

test('LMDB: a store that a process has open is not compacted', async () => {
  const settings = lmdb('two');
  const writer = await bundleProgram(new URL('./writer.program.ts', import.meta.url));
  const child = spawn(process.execPath, [writer.path, 'lmdb', settings.dataDir, ADA, '1']);
  await once(child.stdout, 'data');
  await expect(compactStores(settings, () => {})).rejects.toThrow(
    `two/history/data.mdb is in use by process ${child.pid}: stop the mesh first`,
  );
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
  writer.remove();
});

test.skipIf(noRedis)('Redis: what was forgotten is in no file once it is compacted', async () => {
  const server = await startRedis();
  const settings: StoreSettings = { ...lmdb('none'), history: server.place };
  const before = await forgetAda(settings);
  expect(holds(server.directory, SECRET)).toBe(true);
  await compactStores(settings, () => {});
  expect(holds(server.directory, SECRET)).toBe(false);
  expect(holds(server.directory, ADA)).toBe(false);
  expect(await left(settings)).toEqual(before);
  await server.remove();
});

test.skipIf(noRedis)('Redis: a file that could not be rewritten is not called compacted', async () => {
  // So slow that there is time to end the process that rewrites.
  const server = await startRedis({ 'rdb-key-save-delay': '10000000' });
  const settings: StoreSettings = { ...lmdb('none'), history: server.place };
  await forgetAda(settings);
  let log = '';
  server.process.stdout?.on('data', (line) => {
    log += line;
  });
  const told: string[] = [];
  const compacted = expect(compactStores(settings, (store) => told.push(store))).rejects.toThrow(
    `the append-only file of the Redis at 127.0.0.1:${server.port} was not rewritten; its log says why`,
  );
  const [, rewriter] = await vi.waitUntil(() => /rewriting started by pid (\d+)/.exec(log));
  process.kill(Number(rewriter), 'SIGKILL');
  await compacted;
  expect(told).toEqual([]);
  await server.remove();
});

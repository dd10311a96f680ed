import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect, type OnepassClient, user } from '@onepass/client';
import { Mesh, repositoryRoot } from '@onepass/local';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

/** What docs/training.md promises: a folder in MovieLens format in, a release out, the mesh serving it. */
const DATA = join(repositoryRoot, 'training', 'tests', 'fixtures', 'ml-25m');
const titles = new Map(
  readFileSync(join(DATA, 'movies.csv'), 'utf8')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, id, title] = /^(\d+),(\w[\w ]*) \(\d{4}\),/.exec(line) ?? [];
      return id !== undefined && title !== undefined ? [[id, title] as const] : [];
    }),
);

const canRun = existsSync(join(repositoryRoot, 'training', '.venv', 'bin', 'python'));

describe.skipIf(!canRun)('a MovieLens folder is trained on and served', () => {
  let folder: string;
  let mesh: Mesh;
  let onepass: OnepassClient;
  beforeAll(async () => {
    vi.stubEnv('ONEPASS_BUDGET_MS', '10000');
    folder = await mkdtemp(join(tmpdir(), 'onepass-own-'));
    const releaseDir = join(folder, 'release');
    const args = ['run', 'train', '--', '--smoke', '--data', DATA, '--out', releaseDir];
    const { stdout } = await promisify(execFile)('npm', args, { cwd: repositoryRoot, maxBuffer: 2 ** 26 });
    expect(stdout).toContain('data: 40 people, 41 items');
    expect(await readdir(releaseDir)).toContain('manifest.json');
    mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: undefined });
    await mesh.start();
    onepass = connect(mesh.address('gateway'));
  }, 120_000);
  afterAll(async () => {
    onepass?.close();
    await mesh?.stop();
    await rm(folder, { recursive: true, force: true });
    vi.unstubAllEnvs();
  });

  test('the release has the names of the data', async () => {
    const { actions, surfaces } = await onepass.describe({});
    expect(actions.map(({ name, negative }) => [name, negative])).toEqual([
      ['watch', false],
      ['like', false],
      ['dislike', true],
    ]);
    expect(surfaces).toEqual(['home']);
  });

  test('somebody new gets a page of its items, with the titles of the data', async () => {
    const page = await onepass.recommend({ person: user('somebody new'), surface: 'home', pageSize: 10 });
    expect(page.degraded).toEqual([]);
    expect(page.actions).toEqual(['watch', 'like', 'dislike']);
    expect(page.items).toHaveLength(10);
    for (const item of page.items) expect(item.probabilities).toHaveLength(3);
    const { items } = await onepass.getItems({ itemIds: page.items.map((item) => item.itemId) });
    expect(items).toHaveLength(10);
    expect(items.filter(({ id, title }) => titles.get(id) === title).length).toBeGreaterThanOrEqual(8);
  });

  test('what somebody does is in their next page', async () => {
    const watched = ['1', '2', '3'];
    const events = watched.map((itemId) => ({
      eventId: `watch-${itemId}`,
      itemId,
      actions: ['watch', 'like'],
      surface: 'home',
    }));
    const logged = await onepass.logActions({ person: user('viewer'), events });
    const { historySequence } = logged;
    expect(historySequence).toBe(3n);
    const page = await onepass.recommend({
      person: user('viewer'),
      surface: 'home',
      pageSize: 20,
      minimumHistorySequence: historySequence,
    });
    expect(page.degraded).toEqual([]);
    expect(page.historySequence).toBe(3n);
    expect(page.items.length).toBeGreaterThanOrEqual(10);
    expect(page.items.map((item) => item.itemId).filter((id) => watched.includes(id))).toEqual([]);
  });
});

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ShapeCompute } from './pure-compute.js';
import { hasSyntheticWeights, parseShape } from './shape.js';
import { shapeRelease } from './shape-release.js';

const python = join(repositoryRoot, 'training', '.venv', 'bin', 'python');
const shape = parseShape('n=40,k=30,L=2,d=32,items=400,heads=2');
const quiet = { progress: () => {} };
const noPython = async (): Promise<string> => {
  throw new Error('asked for Python');
};
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-shapes-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.skipIf(!existsSync(python))(
  'a shape becomes a release that is kept, and made again only when its sources have changed',
  { timeout: 300_000 },
  async () => {
    const directory = await shapeRelease(shape, { folder, python: async () => python, ...quiet });
    const { manifest } = await loadRelease(directory);
    expect(manifest.model).toMatchObject({ window: 40, layers: 2, width: 32, heads: 2 });
    expect(manifest.items.count).toBe(400);
    expect(hasSyntheticWeights(manifest)).toBe(true);
    const made = (await stat(directory)).ctimeMs;
    expect(await shapeRelease(shape, { folder, python: noPython, ...quiet })).toBe(directory);
    expect((await stat(directory)).ctimeMs).toBe(made);
    await writeFile(join(dirname(directory), 'sources'), 'other ones');
    await expect(shapeRelease(shape, { folder, python: noPython, ...quiet })).rejects.toThrow('asked for Python');
  },
);

test('what fails is told in one sentence and leaves nothing behind', async () => {
  const empty = join(folder, 'empty');
  const broken = shapeRelease(shape, { folder: empty, python: async () => join(folder, 'no-python'), ...quiet });
  await expect(broken).rejects.toThrow(/^the release of --shape could not be made: .*no-python/);
  expect(await readdir(empty)).toEqual([]);
});

test('every graph and the search of a release are timed, at a shape within its window', async () => {
  const release = await loadRelease(SMOKE_RELEASE);
  const { layers, width } = release.manifest.model;
  const compute = await ShapeCompute.open(
    release,
    await openItems(release),
    { n: 12, k: 7, layers, width },
    { queries: 2, threads: 1 },
  );
  try {
    const { round, shape: measured, ...times } = await compute.measure(3, { calls: 5, seconds: 10 });
    expect([round, measured]).toEqual([3, { n: 12, k: 7, layers, width }]);
    expect(Object.keys(times).sort()).toEqual(
      ['append', 'encodeAll', 'rankFromScratch', 'rankOnKv', 'retrieveHead', 'search'].sort(),
    );
    for (const ms of Object.values(times)) expect(ms).toBeGreaterThan(0);
  } finally {
    await compute.close();
  }
});

import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureDeviceGraphs, precisionOf } from './device-graphs.js';
import { repositoryRoot } from './mesh.js';

const training = join(repositoryRoot, 'training');
const interpreter = join(training, '.venv', 'bin', 'python');
const of = { releaseDir: SMOKE_RELEASE, dtype: 'float32', python: async () => interpreter } as const;

/** A checkout with nothing made yet. */
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'onepass-device-graphs-'));
});
afterEach(() => rmSync(root, { recursive: true }));

test.skipIf(!existsSync(interpreter))('are made once for a release, and of its weights', async () => {
  symlinkSync(training, join(root, 'training'));
  const made: string[] = [];
  const options = { ...of, root, onMake: (directory: string) => made.push(directory) };
  const directory = await ensureDeviceGraphs(options);
  const { id } = JSON.parse(readFileSync(join(SMOKE_RELEASE, 'manifest.json'), 'utf8'));
  expect(directory).toBe(join(root, '.onepass', 'device-graphs', `${id}-float32`));
  expect(JSON.parse(readFileSync(join(directory, 'device.json'), 'utf8'))).toMatchObject({
    releaseId: id,
    dtype: 'float32',
  });
  expect(await ensureDeviceGraphs(options)).toBe(directory);
  expect(made).toEqual([directory]);
  expect(precisionOf(directory)).toBe('float32');
  expect(precisionOf(await ensureDeviceGraphs({ ...options, dtype: 'float16' }))).toBe('float16');
  expect(precisionOf(root)).toBeUndefined();
});

test('what is in the way is one sentence', async () => {
  const none = () => Promise.reject(new Error('training needs Python: none was found'));
  await expect(ensureDeviceGraphs({ ...of, root, python: none })).rejects.toThrow(
    /^--device-cell wants device graphs of release r-\w+, which Python makes, and training needs Python: none was found; .*apt-get install/,
  );
  await expect(ensureDeviceGraphs({ ...of, root, releaseDir: root })).rejects.toThrow(
    `${join(root, 'manifest.json')} cannot be read`,
  );
  const broken = join(root, 'python');
  writeFileSync(broken, '#!/bin/sh\necho "there is no numpy" >&2\nexit 1\n', { mode: 0o755 });
  await expect(ensureDeviceGraphs({ ...of, root, python: async () => broken })).rejects.toThrow(
    `device graphs of ${SMOKE_RELEASE} cannot be made: there is no numpy`,
  );
});

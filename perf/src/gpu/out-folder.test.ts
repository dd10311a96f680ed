import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeOutFolder } from './out-folder.js';
import { writeWhole } from './write-whole.js';

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-out-'));
  file = join(folder, 'file');
  await writeFile(file, 'mine');
});
afterAll(() => rm(folder, { recursive: true }));

test('a folder is made with its parents, and nothing is left in it; one that is there stays', async () => {
  const out = join(folder, 'some', 'where');
  await makeOutFolder(out, '--out');
  await writeFile(join(out, 'kept'), '');
  await makeOutFolder(out, '--out');
  expect(await readdir(out)).toEqual(['kept']);
});

test('what is no folder, or below a file, is refused in a sentence that begins with its name', async () => {
  const says = (path: string) => `--out "${path}" is no folder that files can be written to: ENOTDIR: not a directory`;
  await expect(makeOutFolder(file, '--out')).rejects.toMatchObject({ kind: 'startup', message: says(file) });
  await expect(makeOutFolder(join(file, 'x', 'y'), '--out')).rejects.toThrow(says(join(file, 'x', 'y')));
  expect(await readFile(file, 'utf8')).toBe('mine');
});

test.skipIf(process.platform !== 'linux')('a file system that makes no folders is no endless wait', async () => {
  await expect(makeOutFolder('/proc/x', '--out')).rejects.toThrow('--out "/proc/x" is no folder');
  await expect(makeOutFolder('/proc/x/y', 'OUT')).rejects.toThrow('OUT "/proc/x/y" is no folder');
  await expect(makeOutFolder('/proc', '--out')).rejects.toThrow('--out "/proc" is no folder');
});

test.skipIf(process.platform !== 'linux')('on a full disk the older file stays and no half of a new one', async () => {
  const path = join(folder, 'full', 'findings.json');
  await writeWhole(path, 'older');
  await symlink('/dev/full', `${path}.new`);
  await expect(writeWhole(path, 'newer')).rejects.toMatchObject({
    kind: 'startup',
    message: `"${path}" cannot be written, what was kept before stays: ENOSPC: no space left on device`,
  });
  expect(await readdir(join(folder, 'full'))).toEqual(['findings.json']);
  expect(await readFile(path, 'utf8')).toBe('older');
});

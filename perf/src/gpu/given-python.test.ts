import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkedPython } from './given-python.js';

const PYTHON = join(repositoryRoot, 'training', '.venv', 'bin', 'python');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-python-'));
});
afterAll(() => rm(folder, { recursive: true }));

test.each([
  ['false', 'exit 1', 'it ended with exit code 1'],
  ['true', 'exit 0', 'it does not answer as Python does'],
  ['old', 'echo 3.9.2', 'it is Python 3.9.2'],
  ['bare', 'echo Traceback >&2; echo "ModuleNotFoundError: No module named onnx" >&2; exit 1', 'ModuleNotFoundError'],
])('an interpreter that does not do is refused with what is missing: %s', async (name, does, says) => {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${does}\n`);
  await chmod(path, 0o755);
  const message = `--python "${path}" must be a Python >= 3.11 with numpy and onnx: ${says}`;
  await expect(checkedPython(path)).rejects.toMatchObject({
    kind: 'startup',
    message: expect.stringContaining(message),
  });
});

test('one that is not there is told so', async () => {
  await expect(checkedPython('/nowhere/python')).rejects.toThrow('with numpy and onnx: spawn /nowhere/python ENOENT');
});

test.skipIf(!existsSync(PYTHON))('that of training does', async () => {
  expect(await checkedPython(PYTHON)).toBe(PYTHON);
});

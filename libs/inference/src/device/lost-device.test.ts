import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { EXIT_CODES } from '@onepass/errors';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileFakeCuda } from './fake-cuda.js';

const graph = fileURLToPath(new URL('../../fixtures/pool.onnx', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'onepass-lost-'));
const hasCompiler = compileFakeCuda(directory);
let program: BundledProgram;

beforeAll(async () => {
  program = await bundleProgram(new URL('./lost-device.program.ts', import.meta.url));
});
afterAll(() => {
  program.remove();
  rmSync(directory, { recursive: true });
});

const start = (how: string) => promisify(execFile)(process.execPath, [program.path, how, graph, directory]);

test('a process that lost its device ends with a code of its own', async () => {
  await expect(start('fake')).rejects.toMatchObject({
    code: EXIT_CODES.lostDevice,
    stderr: 'the device is lost: as the test has it\n',
  });
});

test.skipIf(!hasCompiler)('in the middle of a run too', async () => {
  await expect(start('cuda')).rejects.toMatchObject({
    code: EXIT_CODES.lostDevice,
    stderr: expect.stringMatching(/^the device cuda:0 is lost: CUDA failure 719: .*\n$/),
  });
});

test('a process that has nothing to do ends, although its engine is open', async () => {
  expect(await start('idle')).toEqual({ stdout: '', stderr: '' });
});

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileFakeCuda } from './fake-cuda.js';

// ONNX Runtime's CUDA build, as `node scripts/gpu-libraries.mjs` fetches it.
const libraries = process.env.ONEPASS_TEST_CUDA_LIBRARIES;
const graph = fileURLToPath(new URL('../../fixtures/pool.onnx', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'onepass-provider-'));
let program: BundledProgram;

beforeAll(async () => {
  compileFakeCuda(directory);
  program = await bundleProgram(new URL('./cuda-provider.program.ts', import.meta.url));
});
afterAll(() => {
  program.remove();
  rmSync(directory, { recursive: true });
});

test.skipIf(!libraries)(
  'runs are captured in every lane, what was captured goes with its session, and the process ends well',
  async () => {
    const env = { ...process.env, LD_LIBRARY_PATH: directory };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program.path, libraries!, graph], { env });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      ...{ device: 'cuda:0', lanes: 2, complaints: 0 },
      // ONNX Runtime 1.30 gives a captured graph back with its session only.
      ...{ captured: 4, closed: 4, left: 0 },
    });
  },
);

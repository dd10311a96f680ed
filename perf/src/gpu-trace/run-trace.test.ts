import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { attentionFor, makeDeviceGraphs } from '../gpu/graphs.js';
import { ensurePythonOf } from '../kit/shape/python.js';
import { tellTrace, traceCases } from './run-trace.js';

// ONNX Runtime's CUDA build, as `node scripts/gpu-libraries.mjs` fetches it.
const libraries = process.env.ONEPASS_TEST_CUDA_LIBRARIES;
const within = mkdtempSync(join(tmpdir(), 'onepass-graphs-'));
let program: BundledProgram;
beforeAll(async () => {
  program = await bundleProgram(new URL('./traced-case.program.ts', import.meta.url));
});
afterAll(() => {
  program.remove();
  rmSync(within, { recursive: true, force: true });
});

/** As many layers as ask for pinned memory while they are captured. */
const SHAPE = { layers: 12, width: 64, heads: 2, n: 992, k: 656, batch: 4, dtype: 'float16' } as const;

test.skipIf(!libraries)(
  'ONNX Runtime’s CUDA provider takes all graphs, captures their runs by CUDA’s rules, copies no pool, and its process ends well',
  { timeout: 120_000 },
  async () => {
    const python = await ensurePythonOf('training');
    const { folder } = await makeDeviceGraphs(SHAPE, SHAPE.dtype, {
      ...{ python, within, progress: () => {} },
      attention: attentionFor('cuda:0', SHAPE, SHAPE.dtype),
    });
    const traced = await traceCases({ ...SHAPE, folder, libraries: libraries! }, () => {}, program.path);
    expect(traced.flatMap(({ faults }) => faults)).toEqual([]);
    // MultiHeadAttention wants cuDNN, which is not there.
    const [mha, others] = [true, false].map((is) => traced.filter(({ asked }) => (asked.attention === 'mha') === is));
    for (const { why } of mha!) expect(why).toContain('cuDNN is unavailable');
    expect(others!.length).toBeGreaterThan(8);
    const poolBytes = SHAPE.n * SHAPE.width * 2;
    for (const { what, work } of others!) {
      expect(work, what).toBeDefined();
      expect(
        work!.copies.filter(({ from, to, bytes }) => from === to && bytes >= poolBytes),
        what,
      ).toEqual([]);
      const isFused = /attention|gqa|paged/.test(what);
      // Each would be made again in every replay.
      if (isFused)
        expect(
          work!.copies.filter(({ from }) => from !== 'device'),
          what,
        ).toEqual([]);
      expect(
        work!.kernels.some((name) => /flash_fwd|PagedDecode/.test(name)),
        what,
      ).toBe(isFused);
    }
    expect(tellTrace(traced).find((line) => line.startsWith('| rank, attention'))).toMatch(/^\|( [^|]+ \|){9}$/);
  },
);

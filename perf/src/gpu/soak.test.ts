import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDeviceEngine } from '@onepass/inference';
import { repositoryRoot } from '@onepass/local';
import { expect, test } from 'vitest';
import { makeDeviceGraphs } from './graphs.js';
import { growthOf, kvBytesOf, type MemorySample, soak } from './soak.js';
import { soakPage, tellSoak } from './tell-soak.js';

const PYTHON = join(repositoryRoot, 'training', '.venv', 'bin', 'python');

const samples = (of: (i: number) => Partial<MemorySample>): MemorySample[] =>
  Array.from({ length: 100 }, (_, i) => ({ runs: i, resident: 1000, device: 0, ...of(i) }));

test('growth is of whichever memory grows more, once everything has been seen', () => {
  expect(growthOf(samples((i) => ({ resident: i < 20 ? 10 * i : 1000 })))).toBe(0);
  expect(growthOf(samples((i) => ({ resident: 1000 + i })))).toBeCloseTo(1094.5 / 1024.5 - 1);
  expect(
    growthOf(
      samples((i) => ({ resident: 1000 + i })),
      5,
    ),
  ).toBeCloseTo(1094.5 / 1054.5 - 1);
  expect(growthOf(samples((i) => ({ device: i < 60 ? 100 : 150 })))).toBeCloseTo(0.5);
});

test.skipIf(!existsSync(PYTHON))(
  'people come, give way and are forgotten; nobody gets what is no probability',
  async () => {
    const shape = { layers: 1, width: 16, heads: 2, n: 20, k: 7, batch: 2, dtype: 'float32' } as const;
    const onLost = (error: Error) => {
      throw error;
    };
    const within = await mkdtemp(join(tmpdir(), 'onepass-soak-'));
    const engine = await createDeviceEngine({ device: 'cpu', lanes: 1, threads: 1, onLost });
    try {
      const graphs = await makeDeviceGraphs(shape, 'float32', { python: PYTHON, within, progress: () => {} });
      const of = {
        engine,
        graphs,
        shape,
        attention: { encode: 'plain', rank: 'plain', prefill: 'plain' },
        progress: () => {},
      };
      const found = await soak({ ...of, runs: 300, people: 30, kvBytes: kvBytesOf(graphs, 5) });
      expect(found.runs).toBeGreaterThanOrEqual(300);
      expect(found).toMatchObject({ wrong: 0, shared: 2 });
      expect(found.asked).toBeGreaterThan(found.runs);
      expect(found.samples.length).toBeGreaterThan(20);
      const early = await soak({
        ...of,
        runs: 300,
        people: 30,
        kvBytes: kvBytesOf(graphs, 5),
        endAt: performance.now(),
      });
      expect(early.runs).toBe(0);
      const where = { date: '2026-01-01', where: 'somewhere', shape };
      expect(tellSoak(found, where).join('\n')).toMatch(/runs .* 3[0-9]{2}/);
      expect(soakPage(found, where)).not.toMatch(/NaN|undefined/);
    } finally {
      await engine.close();
      await rm(within, { recursive: true, force: true });
    }
  },
);

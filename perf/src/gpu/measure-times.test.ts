import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDeviceEngine, type DeviceEngine } from '@onepass/inference';
import { repositoryRoot } from '@onepass/local';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { GpuFindings } from './findings.js';
import { keepFindings, readFindings } from './findings-file.js';
import { describeGpuMachine } from './gpu-machine.js';
import { type DeviceGraphs, makeDeviceGraphs } from './graphs.js';
import { measureTimes } from './measure-times.js';
import { gpuPage } from './page.js';
import { tellFindings } from './tell.js';

const PYTHON = join(repositoryRoot, 'training', '.venv', 'bin', 'python');
const SHAPE = { layers: 1, width: 16, heads: 2, n: 20, k: 7, batch: 2, dtype: 'float32' } as const;

describe.skipIf(!existsSync(PYTHON))('on the CPU', () => {
  let engine: DeviceEngine;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'onepass-times-'));
    const onLost = (error: Error) => {
      throw error;
    };
    engine = await createDeviceEngine({ device: 'cpu', lanes: 1, threads: 1, onLost });
  });
  afterAll(async () => {
    await engine.close();
    await rm(folder, { recursive: true });
  });

  async function measure(python: string, endAt?: number) {
    const kept: GpuFindings[] = [];
    const graphs = (dtype: 'float16' | 'float32', attention?: readonly string[]): Promise<DeviceGraphs> =>
      makeDeviceGraphs(SHAPE, dtype, {
        python: PYTHON,
        within: folder,
        progress: () => {},
        ...(attention && { attention }),
      });
    const machine = await describeGpuMachine(engine);
    const of = { engine, machine, shape: SHAPE, python, graphs, libraries: undefined, rounds: 2, smoke: true };
    const findings = await measureTimes({
      ...{ ...of, endAt, progress: () => {} },
      keep: async (found) => {
        kept.push(structuredClone(found));
        await keepFindings(folder, found);
      },
    });
    return { findings, kept };
  }

  test('what is found is kept after each round, and becomes the whole', { timeout: 120_000 }, async () => {
    const { findings, kept } = await measure(PYTHON);
    expect(kept.length).toBeGreaterThan(5);
    expect(kept[0]).toMatchObject({ done: false });
    expect(kept[0]!.measured.every(({ rounds }) => rounds.length === 1)).toBe(true);
    expect(kept[0]!.figures.kv_speedup?.value).toBeGreaterThan(0);
    expect(kept.map(({ done }) => done).filter((done) => done)).toHaveLength(1);
    expect(findings.done).toBe(true);
    const asked = [
      'kv_speedup',
      'total_speedup',
      'append_speedup',
      'ratio_vs_pytorch',
      'gather_share',
      'order_agreement',
    ];
    expect(Object.keys(findings.figures)).toEqual(expect.arrayContaining(asked));
    expect(findings.compared.every(({ agreement }) => agreement.worst < 1e-4)).toBe(true);
    expect(findings.machine.torch).toMatch(/^\d/);
    const again = await readFindings(folder);
    expect(tellFindings(again)).toEqual(tellFindings(findings));
    expect(gpuPage(again)).not.toMatch(/NaN|undefined/);
  });

  test('without time it says what was left out, and what was found is whole', { timeout: 60_000 }, async () => {
    const { findings } = await measure('/nowhere/python', performance.now());
    expect(findings).toMatchObject({ measured: [], figures: {}, done: true });
    expect(findings.notes.join('\n')).toMatch(/no time was left/);
    expect(tellFindings(findings).length).toBeGreaterThan(2);
  });
});

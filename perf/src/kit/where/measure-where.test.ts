import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadRelease } from '@onepass/release';
import { bundleProgram, SMOKE_RELEASE } from '@onepass/testing';
import { expect, test } from 'vitest';
import { pageOf } from '../../page.js';
import { commonSettings } from '../systems/systems.js';
import { measureWhere } from './measure-where.js';

const PROCESSES = ['gateway', 'ranking', 'retrieval', 'user-encoder'];

test('system A is profiled and a request of it taken apart', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'onepass-where-test-'));
  const program = await bundleProgram(new URL('./profiler.program.ts', import.meta.url));
  try {
    const release = await loadRelease(SMOKE_RELEASE);
    const { window, layers, width } = release.manifest.model;
    const shape = { n: window, k: pageOf(release).candidates, layers, width };
    // Other tests take the processor: what is tested is what is told, not how soon pages come.
    const settings = commonSettings(shape, { ONEPASS_BUDGET_MS: '30000' });
    const bed = { shape, people: 4, slots: 16, heatSeconds: 0.5, seconds: 1 };
    const ground = { releaseDir: SMOKE_RELEASE, release, settings, folder, progress: () => {} };
    const where = await measureWhere(bed, ground, { profiler: program.path, pages: 20 });

    expect(where.cpu.map(({ process }) => process).sort()).toEqual(PROCESSES);
    for (const { parts, plainMs } of where.cpu) {
      const sum = parts.reduce((total, { ms }) => total + ms, 0);
      expect(sum).toBeGreaterThan(0);
      expect(plainMs).toBeGreaterThan(0);
      expect(parts.map(({ name }) => name)).toContain('gRPC and HTTP/2');
    }
    expect(where.flames.map(({ process }) => process).sort()).toEqual(PROCESSES);
    for (const { frames } of where.flames) expect(frames.length).toBeGreaterThan(0);

    const { spans } = where.waterfall;
    expect(new Set(spans.map(({ process }) => process))).toEqual(new Set(['client', ...PROCESSES]));
    const names = spans.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['request on its way to ranking', 'answer on its way from gateway']));
    expect(spans.some(({ kind }) => kind === 'serialise')).toBe(true);
  } finally {
    program.remove();
    rmSync(folder, { recursive: true, force: true });
  }
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleProgram, SMOKE_RELEASE } from '@onepass/testing';
import { expect, test } from 'vitest';
import { measureCommand, validateCommand } from './real-commands.js';
import { readServiceTimes } from './sim/service-times.js';

const options = { releaseDir: SMOKE_RELEASE, smoke: true };
const quiet = () => {};

test('pages of a real mesh are taken apart', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'onepass-measure-test-'));
  const program = await bundleProgram(new URL('../kit/load/replayer.program.ts', import.meta.url));
  try {
    const file = join(folder, 'plan', 'times.json');
    expect(await measureCommand(file, options, quiet, { replayer: program.path })).toContain(file);
    const { pages, actions, hopMs, wakeMs, busySpeed } = await readServiceTimes(file);
    expect(new Set(actions.map(({ events }) => events))).toEqual(new Set([1, 64]));
    expect(busySpeed).toBeGreaterThan(0.2);
    expect(hopMs).toBeLessThan(5);
    expect(wakeMs).toBeGreaterThanOrEqual(0);
    for (const page of pages) {
      for (const part of [
        'client',
        'gateway',
        'encoder',
        'encoderGraph',
        'retrieval',
        'ranking',
        'rankingGraph',
      ] as const) {
        expect(page[part]).toBeGreaterThan(0);
      }
    }
  } finally {
    program.remove();
    rmSync(folder, { recursive: true });
  }
});

test('real meshes are compared with simulated ones', { timeout: 120_000 }, async () => {
  const program = await bundleProgram(new URL('../kit/load/replayer.program.ts', import.meta.url));
  try {
    const told = await validateCommand(options, quiet, { replayer: program.path });
    expect(told).toContain('| predicted / measured (off by)');
    expect(told).toMatch(/1 cell, \d+ slots for 120 people, 10 pages a second/);
    expect(told).toContain('mean nothing and are not kept');
  } finally {
    program.remove();
  }
});

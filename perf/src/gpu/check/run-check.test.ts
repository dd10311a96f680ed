import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SMOKE } from '../options.js';
import { runCheck, tellCounts } from './run-check.js';

const PYTHON = join(repositoryRoot, 'training', '.venv', 'bin', 'python');

let program: BundledProgram;
let folder: string;
beforeAll(async () => {
  program = await bundleProgram(new URL('./check.program.ts', import.meta.url));
  folder = await mkdtemp(join(tmpdir(), 'onepass-check-'));
});
afterAll(async () => {
  program.remove();
  await rm(folder, { recursive: true });
});

test.skipIf(!existsSync(PYTHON))(
  'on a CPU nothing fails, and what is of GPUs is left out',
  { timeout: 300_000 },
  async () => {
    const file = join(folder, 'check.json');
    const lines: string[] = [];
    const kept: number[] = [];
    const progress = (line: string) => {
      lines.push(line);
      if (existsSync(file)) kept.push(lines.length);
    };
    const of = { device: 'cpu', libraries: undefined, smoke: true, python: PYTHON } as const;
    const { checks, machine } = await runCheck({ ...of, shape: SMOKE, file, program: program.path, progress });
    expect(checks.filter(({ state }) => state === 'failed')).toEqual([]);
    expect(machine.device).toBe('cpu');
    const states = new Map(checks.map(({ name, state }) => [name, state]));
    expect(states.get('runs repeat after others: attention')).toBe('ok');
    expect(states.get('numbers beside float32 on the CPU: float16: mha')).toBe('ok');
    expect(states.get('people together are as alone')).toBe('ok');
    expect(states.get('a lost device ends its process')).toBe('left out');
    expect(checks.length).toBeGreaterThan(30);
    expect(tellCounts(checks)).toMatch(/^\d+ ok, 0 failed, \d+ left out, in \d+ s$/);
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ checks, done: true });
    // It was there long before the last.
    expect(kept.length).toBeGreaterThan(checks.length / 2);
  },
);

test('a device that is not there is one sentence', { timeout: 60_000 }, async () => {
  const of = { device: 'cuda:0', libraries: '/nowhere', smoke: false, shape: {}, python: PYTHON } as const;
  const file = join(folder, 'none.json');
  await expect(runCheck({ ...of, file, program: program.path, progress: () => {} })).rejects.toMatchObject({
    kind: 'startup',
    message: expect.stringMatching(/^the device could not be opened: .*ONNX Runtime cannot be loaded from/),
  });
});

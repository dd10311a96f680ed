import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { repositoryRoot } from '@onepass/local';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { TRAINING_SOURCES } from '../kit/shape/run-training.js';

const PYTHON = join(repositoryRoot, 'training', '.venv', 'bin', 'python');
const WAIT = { timeout: 20_000, interval: 20 };

let program: BundledProgram;
let folder: string;
let python: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-peer-'));
  python = join(folder, 'python');
  // A bundle lies elsewhere and does not find training's sources.
  await writeFile(python, `#!/bin/sh\nPYTHONPATH='${TRAINING_SOURCES}' exec '${PYTHON}' "$@"\n`, { mode: 0o755 });
  program = await bundleProgram(new URL('./peer.program.ts', import.meta.url));
});
afterAll(async () => {
  await program.remove();
  await rm(folder, { recursive: true });
});

/** As /proc has it: T is stopped; undefined = it has ended. */
function stateOf(pid: number): string | undefined {
  try {
    const state = /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return state === 'Z' ? undefined : state;
  } catch {
    return undefined;
  }
}

test.skipIf(process.platform !== 'linux' || !existsSync(PYTHON)).each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)(
  'a peer that was stopped at once ends with the process that started it: %s',
  { timeout: 60_000 },
  async (signal) => {
    const starter = spawn(process.execPath, [program.path, python], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const peer = Number(await new Promise((resolve) => createInterface(starter.stdout).once('line', resolve)));
      await vi.waitFor(() => expect(stateOf(peer)).toBe('T'), WAIT);
      starter.kill(signal);
      await vi.waitFor(() => expect(stateOf(peer)).toBeUndefined(), WAIT);
    } finally {
      starter.kill('SIGKILL');
    }
  },
);

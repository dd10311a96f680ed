import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OnepassError } from '@onepass/errors';
import { openSharedMemory } from '@onepass/shared-memory';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Board, CHURN, stampOf } from './churn.js';
import { KvPoolReader } from './index.js';

const TURNS = 1_000_000;
const directory = mkdtempSync('/dev/shm/onepass-churn-');
const poolPath = join(directory, 'pool');
const boardPath = join(directory, 'board');
let program: BundledProgram;
let writer: ChildProcess;

beforeAll(async () => {
  program = await bundleProgram(new URL('./churn.program.ts', import.meta.url));
  writer = fork(program.path, [poolPath, boardPath]);
  await once(writer, 'message');
});
afterAll(async () => {
  writer.kill();
  await once(writer, 'exit');
  program.remove();
  rmSync(directory, { recursive: true });
});

/** `right` when all numbers are, else the first that is not. */
function firstOther(tensors: readonly Float32Array[], right: number): number {
  for (const tensor of tensors) for (const value of tensor) if (value !== right) return value;
  return right;
}

test('a million reads against a writer that reuses the slots give no torn and no foreign KV', {
  timeout: 120_000,
}, () => {
  const reader = KvPoolReader.open(openSharedMemory(poolPath), { shape: CHURN.shape, releaseId: CHURN.releaseId });
  const board = new Board(openSharedMemory(boardPath).view(0, 4096));
  const seen = { verified: 0, missedBefore: 0, missedAfter: 0, tornButCaught: 0 };
  for (let turn = 0; turn < TURNS; turn++) {
    const reference = board.look(turn % CHURN.slots);
    const right = stampOf(reference.person, reference.generation);
    let found: number | undefined;
    try {
      const { keys, values } = reader.read(reference);
      found = firstOther([...keys, ...values], right);
      reader.verify(reference);
    } catch (error) {
      if (!(error instanceof OnepassError && error.kind === 'kv_miss')) throw error;
      if (found === undefined) seen.missedBefore++;
      else seen.missedAfter++;
      if (found !== undefined && found !== right) seen.tornButCaught++;
      continue;
    }
    if (found !== right) expect.fail(`turn ${turn}: a verified read held ${found} instead of ${right}`);
    seen.verified++;
  }
  expect(seen.verified).toBeGreaterThan(TURNS / 10);
  expect(seen.missedBefore + seen.missedAfter).toBeGreaterThan(TURNS / 1000);
  // Else nothing was ever changed under a read, and the test would pass without any check.
  expect(seen.tornButCaught).toBeGreaterThan(0);
});

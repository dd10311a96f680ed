import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOnSmallFileSystem } from './fault-full.suite.js';

const folder = mkdtempSync(join(tmpdir(), 'onepass-full-'));
let program: BundledProgram;
beforeAll(async () => {
  program = await bundleProgram(new URL('./fault-full.program.ts', import.meta.url));
});
afterAll(() => {
  program.remove();
  rmSync(folder, { recursive: true });
});

test('on a file system without a byte left it is refusals and misses: nobody dies, nobody is lost for it, and later it goes on', () => {
  const { status, signal, stdout, stderr } = runOnSmallFileSystem(program.path, folder);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  const seen = JSON.parse(stdout);
  expect(seen).toMatchObject({
    allocateBelow: 'no_memory',
    growBelow: 'no_memory',
    heldBelow: 4,
    heldRested: 3,
    readBelow: { right: 5, missed: 0, wrong: 0 },
    tooLong: 'no_memory',
    growRead: 'no_memory',
    readInPlace: { wrong: 0 },
    readRested: { wrong: 0 },
    readAtLast: { wrong: 0 },
  });
  for (const refused of [
    'allocateRested',
    'allocateWithSpace',
    'growWithSpace',
    'withinItsPages',
    'inPlace',
    'tooLongRested',
  ]) {
    expect(seen, refused).not.toHaveProperty(refused);
  }
  for (const refused of ['growRested', 'afterRest', 'withSpace']) expect(seen, refused).not.toHaveProperty(refused);
  expect(seen.readInPlace.missed).toBeGreaterThan(0);
  expect(seen.readInPlace.right).toBeGreaterThan(seen.held - 2);
});

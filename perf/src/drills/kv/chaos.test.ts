import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runChaos } from './chaos.js';

let writer: BundledProgram;
let reader: BundledProgram;
beforeAll(async () => {
  writer = await bundleProgram(new URL('./writer.program.ts', import.meta.url));
  reader = await bundleProgram(new URL('./reader.program.ts', import.meta.url));
});
afterAll(() => {
  writer.remove();
  reader.remove();
});

test('readers of a pool whose writer is killed and stopped miss, and score nothing wrong', {
  timeout: 120_000,
}, async () => {
  const programs = { writer: writer.path, reader: reader.path };
  const seen = await runChaos({ seconds: 4, readers: 2, programs, progress: () => {} });
  expect(seen).toMatchObject({ wrong: 0, deaths: 0 });
  for (const [name, least] of Object.entries({
    verified: 1_000,
    misses: 100,
    torn: 1,
    evictions: 100,
    killsInAppend: 1,
    stops: 1,
  })) {
    expect(seen[name as keyof typeof seen], name).toBeGreaterThanOrEqual(least);
  }
});

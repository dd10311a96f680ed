import { Mesh } from '@onepass/local';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fuzz } from './fuzz.js';

const TERMS = { count: 4_000, seed: 20_261_121 };

let mesh: Mesh;
beforeAll(async () => {
  const overrides = { gateway: { ONEPASS_BUDGET_MS: '8000' } };
  mesh = await Mesh.prepare({ releaseDir: SMOKE_RELEASE, port: undefined, dataDir: undefined, overrides });
  await mesh.start();
});
afterAll(() => mesh.stop());

test('a few thousand hostile messages at every method: refused or answered, by processes that stay as they are', async () => {
  const { statuses, memoryMib, memoryGrowthMib, slowestMs, slowest, ...result } = await fuzz(mesh, TERMS);
  expect(result).toEqual({
    messages: 4_000,
    crashes: 0,
    hangs: 0,
    internal: 0,
    nanAnswers: 0,
    failedStages: 0,
    examples: [],
  });
  expect(memoryGrowthMib).toBeLessThan(128);
  // Not all of it is refused at the door.
  for (const role of ['gateway', 'user-encoder', 'retrieval', 'ranking']) {
    expect(statuses[`${role}: OK`]).toBeGreaterThan(50);
    expect(statuses[`${role}: INVALID_ARGUMENT`]).toBeGreaterThan(50);
  }
});

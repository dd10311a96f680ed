import { join } from 'node:path';
import { Mesh, repositoryRoot } from '@onepass/local';
import { fuzz as flood } from '../fuzz/fuzz.js';
import type { Drill } from './drill.js';

const COUNT = 100_000;
const SMOKE_COUNT = 2_000;
const SEED = 1;

export const fuzz: Drill = {
  name: 'fuzz',
  says: 'sends hostile messages to every method of every server: no crash, no hang, nothing internal, no NaN',
  run: async ({ smoke, progress }) => {
    const mesh = await Mesh.prepare({
      // The smallest release: it is the servers that are tried, not the model.
      releaseDir: join(repositoryRoot, 'libs/testing/fixtures/release-smoke'),
      port: undefined,
      dataDir: undefined,
      // Of this drill alone, four servers are called at once on what may be two cores.
      overrides: { gateway: { ONEPASS_BUDGET_MS: '8000' } },
    });
    try {
      await mesh.start();
      const result = await flood(mesh, { count: smoke ? SMOKE_COUNT : COUNT, seed: SEED });
      for (const [status, calls] of Object.entries(result.statuses).sort()) progress(`${status}: ${calls}`);
      for (const [role, mib] of Object.entries(result.memoryMib)) progress(`${role}: ${mib.map(Math.round)} MiB`);
      for (const example of [result.slowest, ...result.examples]) progress(example);
      return {
        fuzz_messages: result.messages,
        fuzz_crashes: result.crashes,
        fuzz_hangs: result.hangs,
        fuzz_internal: result.internal,
        fuzz_nan_answers: result.nanAnswers,
        fuzz_slowest_ms: result.slowestMs,
        fuzz_failed_stages: result.failedStages,
        fuzz_memory_growth_mib: result.memoryGrowthMib,
      };
    } finally {
      await mesh.stop();
    }
  },
};

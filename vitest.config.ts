import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Packages are resolved to their TypeScript sources (the "source" condition of each package.json), so tests need no build.
export default defineConfig({
  ssr: {
    resolve: {
      conditions: ['source', 'node', 'import', 'default'],
      externalConditions: ['node', 'import', 'default'],
    },
  },
  resolve: { conditions: ['source', 'node', 'import', 'default'] },
  test: {
    include: ['{libs,services,deploy,perf}/**/*.test.ts', 'scripts/**/*.test.mjs'],
    pool: 'forks',
    // Vitest leaves a core to itself; half of the time of these tests is waiting for processes and servers, so two are never too many.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

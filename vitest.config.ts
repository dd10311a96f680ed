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
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

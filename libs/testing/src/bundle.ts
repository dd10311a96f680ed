import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

/** A program that a test starts as a process of its own. */
export interface BundledProgram {
  /** A file that `node` runs. */
  readonly path: string;
  remove(): void;
}

/**
 * Makes one JavaScript file of a TypeScript program and the @onepass sources it imports, so that tests start processes of what
 * is in the tree without a build. npm packages stay outside.
 * @param entry URL of the program, as `new URL('./program.ts', import.meta.url)`
 */
export async function bundleProgram(entry: URL): Promise<BundledProgram> {
  // Below node_modules, so that npm packages are found from there.
  const directory = fileURLToPath(new URL(`../../../node_modules/.cache/onepass/${randomUUID()}/`, import.meta.url));
  await build({
    configFile: false,
    logLevel: 'error',
    ssr: { noExternal: [/^@onepass\//], resolve: { conditions: ['source', 'node', 'import', 'module', 'default'] } },
    build: {
      ssr: fileURLToPath(entry),
      outDir: directory,
      target: 'node20',
      rollupOptions: { output: { entryFileNames: 'program.mjs' } },
    },
  });
  return {
    path: `${directory}program.mjs`,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

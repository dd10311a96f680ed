import { join } from 'node:path';
import { root } from './paths.mjs';
import { elapsed, report, runVisibly, Stop } from './steps.mjs';

/** Compiles what changed since the last time. */
export async function ensureBuilt() {
  const since = Date.now();
  const code = await runVisibly(join(root, 'node_modules', '.bin', 'tsc'), ['-b']);
  if (code !== 0) throw new Stop('The build failed; the compiler says why above.');
  report('build', `up to date in ${elapsed(since)}`);
}

import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from './mesh.js';

/** Folders with a requirements.lock and, once it is set up, an environment of their own. */
export type PythonFolder = 'training' | 'perf/monolith';

/** What this needs of scripts/lib/python.mjs, which is plain JavaScript outside of the packages. */
interface PythonScripts {
  pythonOf(folder: string): string;
  ensurePython(folder: string): Promise<string | undefined>;
}

/**
 * Sets up a folder's Python environment as its lock says, unless it already is so; prints what it does.
 * @returns the path of its interpreter
 * @throws OnepassError `startup` where there is no fitting Python, or its packages cannot be installed
 */
export async function ensurePythonOf(folder: PythonFolder): Promise<string> {
  const path = join(repositoryRoot, 'scripts', 'lib', 'python.mjs');
  const { ensurePython, pythonOf } = (await import(/* @vite-ignore */ path)) as PythonScripts;
  const problem = await ensurePython(folder).catch((error: Error) => error.message);
  if (problem !== undefined) throw startupError(`${folder} needs Python: ${problem.replace(/\.$/, '')}`);
  return pythonOf(folder);
}

import { createHash } from 'node:crypto';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './paths.mjs';
import { elapsed, report, runQuietly, runVisibly, Stop } from './steps.mjs';

/**
 * Where the Python environment of a part of the repository lies; its lock lies beside it.
 * @param {string} folder from the repository's root
 */
export const pythonOf = (folder) => join(root, folder, '.venv', 'bin', 'python');

/** The interpreter of training's environment. */
export const python = pythonOf('training');

/**
 * Sets up the Python environment of training/, or of another folder, as its requirements.lock says, unless it already is so.
 * @param {string} [folder] from the repository's root
 * @returns {Promise<string | undefined>} why it cannot, in one sentence, when there is no fitting Python on this machine
 */
export async function ensurePython(folder = 'training') {
  const lock = join(root, folder, 'requirements.lock');
  const environment = join(root, folder, '.venv');
  const stamp = join(environment, '.onepass-lock');
  const name = folder === 'training' ? 'python packages' : `python, ${folder}`;
  const wanted = createHash('sha256')
    .update(await readFile(lock))
    .digest('hex');
  if ((await hasPython(folder)) && (await readFile(stamp, 'utf8').catch(() => '')) === wanted) {
    report(name, 'up to date');
    return undefined;
  }
  const interpreter = await findInterpreter();
  if (interpreter === undefined)
    return 'no Python >= 3.11 with venv was found on the PATH (python3, python3.11 .. python3.14)';
  report(name, `installing with ${interpreter} ...`);
  const since = Date.now();
  // Also over an environment that is there already: what fits is kept.
  if ((await runVisibly(interpreter, ['-m', 'venv', environment])) !== 0)
    throw new Stop(`${interpreter} -m venv failed; its own message is above.`);
  const code = await runVisibly(pythonOf(folder), [
    '-m',
    'pip',
    'install',
    '--disable-pip-version-check',
    '--require-hashes',
    '-r',
    lock,
  ]);
  if (code !== 0) throw new Stop(`pip install failed with exit code ${code}; its own message is above.`);
  await writeFile(stamp, wanted);
  report(name, `installed in ${elapsed(since)}`);
  return undefined;
}

/**
 * @param {string} [folder]
 * @returns {Promise<boolean>} whether the environment exists, for callers that can do without
 */
export async function hasPython(folder = 'training') {
  return access(pythonOf(folder)).then(
    () => true,
    () => false,
  );
}

async function findInterpreter() {
  const fits = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))';
  for (const name of ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11']) {
    if ((await runQuietly(name, ['-c', fits])).code === 0) return name;
  }
  return undefined;
}

import { createHash } from 'node:crypto';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './paths.mjs';
import { elapsed, report, runQuietly, runVisibly, Stop } from './steps.mjs';

const environment = join(root, 'training', '.venv');
const lock = join(root, 'training', 'requirements.lock');
const stamp = join(environment, '.onepass-lock');

/** The environment's interpreter. */
export const python = join(environment, 'bin', 'python');

/**
 * Sets up the Python environment of training/ as its lock says, unless it already is so.
 * @returns {Promise<string | undefined>} why it cannot, in one sentence, when there is no fitting Python on this machine
 */
export async function ensurePython() {
  const wanted = createHash('sha256')
    .update(await readFile(lock))
    .digest('hex');
  if (await isReady(wanted)) {
    report('python packages', 'up to date');
    return undefined;
  }
  const interpreter = await findInterpreter();
  if (interpreter === undefined)
    return 'no Python >= 3.11 with venv was found on the PATH (python3, python3.11 .. python3.14)';
  report('python packages', `installing with ${interpreter} ...`);
  const since = Date.now();
  // Also over an environment that is there already: what fits is kept.
  if ((await runVisibly(interpreter, ['-m', 'venv', environment])) !== 0)
    throw new Stop(`${interpreter} -m venv failed; its own message is above.`);
  const code = await runVisibly(python, [
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
  report('python packages', `installed in ${elapsed(since)}`);
  return undefined;
}

/** @returns {Promise<boolean>} whether the environment exists, for callers that can do without */
export async function hasPython() {
  return access(python).then(
    () => true,
    () => false,
  );
}

/** @param {string} wanted hash of the lock */
async function isReady(wanted) {
  return (await hasPython()) && (await readFile(stamp, 'utf8').catch(() => '')) === wanted;
}

async function findInterpreter() {
  const fits = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))';
  for (const name of ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11']) {
    if ((await runQuietly(name, ['-c', fits])).code === 0) return name;
  }
  return undefined;
}

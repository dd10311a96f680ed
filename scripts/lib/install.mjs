import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './paths.mjs';
import { elapsed, report, runVisibly, Stop } from './steps.mjs';

/** @typedef {Record<string, { version?: string, integrity?: string, optional?: boolean, link?: boolean }>} LockedPackages */

/**
 * Whether what lies in node_modules is what the lock says: npm notes what it installed in a lock file of its own.
 * Packages for other platforms are in the lock and rightly not installed; they are all optional.
 * @param {LockedPackages} locked
 * @param {LockedPackages} installed
 */
export function matchesLock(locked, installed) {
  const dependencies = Object.entries(locked).filter(([path]) => path.includes('node_modules/'));
  const complete = dependencies.every(([path, wanted]) => {
    const found = installed[path];
    if (found === undefined) return wanted.optional === true;
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
  const left = Object.keys(installed).filter((path) => path.includes('node_modules/') && !(path in locked));
  return complete && left.length === 0;
}

/** Installs npm packages unless node_modules already is what package-lock.json says. */
export async function ensureInstalled() {
  if (await upToDate()) return report('npm packages', 'up to date');
  report('npm packages', 'installing ...');
  const since = Date.now();
  const code = await runVisibly('npm', ['ci', '--loglevel=error', '--progress=true'], {
    // Its install step would fetch CUDA files, which the CPU does not need and which fails without internet.
    env: { ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  if (code !== 0) throw new Stop(`npm ci failed with exit code ${code}; its own message is above.`);
  report('npm packages', `installed in ${elapsed(since)}`);
}

async function upToDate() {
  const [locked, installed] = await Promise.all([
    lockedPackages(join(root, 'package-lock.json')),
    lockedPackages(join(root, 'node_modules', '.package-lock.json')),
  ]);
  if (locked === undefined) throw new Stop('package-lock.json is missing or broken: this is not a whole checkout.');
  return installed !== undefined && matchesLock(locked, installed);
}

/**
 * @param {string} path
 * @returns {Promise<LockedPackages | undefined>}
 */
async function lockedPackages(path) {
  try {
    return JSON.parse(await readFile(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

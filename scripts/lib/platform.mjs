// Written so that an old Node can still parse and run it: it is what tells such a Node that it is too old.
import process from 'node:process';

const MINIMUM_NODE = { major: 20, minor: 19 };

/**
 * Why this machine cannot run Onepass, in one sentence; undefined when it can.
 * @param {string} platform as in process.platform
 * @param {string} version as in process.versions.node
 * @returns {string | undefined}
 */
export function platformProblem(platform, version) {
  if (platform !== 'linux') return `Onepass runs on Linux; this is ${platform}.`;
  const parts = version.split('.').map(Number);
  const major = parts[0] || 0;
  const minor = parts[1] || 0;
  const newEnough = major > MINIMUM_NODE.major || (major === MINIMUM_NODE.major && minor >= MINIMUM_NODE.minor);
  if (newEnough) return undefined;
  return `Onepass needs Node ${MINIMUM_NODE.major}.${MINIMUM_NODE.minor} or newer; this is ${version}.`;
}

/** Ends the process with one sentence on a platform that cannot run Onepass. */
export function requirePlatform() {
  const problem = platformProblem(process.platform, process.versions.node);
  if (problem === undefined) return;
  console.error(problem);
  process.exit(1);
}

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { delimiter } from 'node:path';
import { promisify } from 'node:util';
import { OnepassError, startupError } from '@onepass/errors';
import { findGhz } from '../../ghz.js';
import { lastLine } from './sender.js';

/** What figures are made with. */
export const GHZ_VERSION = 'v0.120.0';
const MODULE = 'github.com/bojand/ghz/cmd/ghz';

export interface Ghz {
  readonly path: string;
  /** As `v0.120.0`; `unknown` of one that does not say. */
  readonly version: string;
}

const run = promisify(execFile);

/**
 * Finds ghz, or installs it where there is a Go, into Go's own folder for programs. Another version than ours is used, and said.
 * @throws OnepassError `startup` saying what is missing
 */
export async function ensureGhz(progress: (line: string) => void): Promise<Ghz> {
  const path = (await find()) ?? (await install(progress));
  const version = await versionOf(path);
  if (version !== GHZ_VERSION)
    progress(`ghz ${version} at ${path} is used as found; the kit was made with ${GHZ_VERSION}`);
  return { path, version };
}

async function find(): Promise<string | undefined> {
  const env = { ...process.env, PATH: [process.env.PATH, await goEnv('GOBIN')].filter(Boolean).join(delimiter) };
  try {
    return findGhz(env);
  } catch (error) {
    if (OnepassError.from(error).kind === 'startup') return undefined;
    throw error;
  }
}

async function install(progress: (line: string) => void): Promise<string> {
  if ((await goEnv('GOVERSION')) === undefined) {
    throw startupError(
      `ghz was not found, and no Go to install it with: install Go (https://go.dev/dl), or put ghz ${GHZ_VERSION} on the PATH`,
    );
  }
  progress(`installing ghz ${GHZ_VERSION} with go install`);
  try {
    await run('go', ['install', `${MODULE}@${GHZ_VERSION}`], { maxBuffer: 1 << 26 });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw startupError(`go install ${MODULE}@${GHZ_VERSION} failed: ${lastLine(stderr)}`, error);
  }
  const path = await find();
  if (path !== undefined) return path;
  throw startupError('go install went well, but ghz is neither on the PATH nor in GOBIN nor in bin of GOPATH');
}

/** Undefined where there is no Go, or it has no such setting. */
async function goEnv(name: string): Promise<string | undefined> {
  try {
    return (await run('go', ['env', name])).stdout.trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Only released builds answer --version with one; what `go install` built says "dev", and carries its module's version inside. */
async function versionOf(path: string): Promise<string> {
  const { stdout, stderr } = await run(path, ['--version']).catch(() => ({ stdout: '', stderr: '' }));
  const said = /\d+\.\d+\.\d+\S*/.exec(stdout + stderr)?.[0];
  if (said !== undefined) return `v${said}`;
  const built = /\bmod\tgithub\.com\/bojand\/ghz\t(v[^\t\n]+)/.exec((await readFile(path)).toString('latin1'));
  return built?.[1] ?? 'unknown';
}

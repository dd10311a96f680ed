import { existsSync, watch } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import type { CpuProfile } from './cpu-profile.js';
import { FOLDER_VARIABLE, profileFiles } from './profile-files.js';

const PROGRAM = join(repositoryRoot, 'perf', 'dist', 'kit', 'where', 'profiler.program.js');
/** A profile of some seconds is written in some hundred ms; a machine under load takes longer. */
const DEADLINE_MS = 20_000;

/**
 * Environment of processes that can be profiled. Until they are, it costs them nothing.
 * @param folder for their profiles
 * @param program JavaScript file of profiler.program.ts; absent: the built one
 */
export function profiledEnvironment(folder: string, program = PROGRAM): Record<string, string> {
  const before = process.env.NODE_OPTIONS;
  const load = `--import=${pathToFileURL(program).href}`;
  return { NODE_OPTIONS: before ? `${before} ${load}` : load, [FOLDER_VARIABLE]: folder };
}

/**
 * Begins a profile in each process; resolves when all have begun.
 * @throws OnepassError `startup` naming a process that did not
 */
export async function beginProfiles(pids: Readonly<Record<string, number>>, folder: string): Promise<void> {
  signal(pids);
  const begun = ([name, pid]: [string, number]) => appeared(join(folder, profileFiles(pid).begun), folder, name);
  await Promise.all(Object.entries(pids).map(begun));
}

/**
 * Ends the profiles that were begun.
 * @returns them by process
 * @throws OnepassError `startup` naming a process that left none
 */
export async function endProfiles(
  pids: Readonly<Record<string, number>>,
  folder: string,
): Promise<Record<string, CpuProfile>> {
  signal(pids);
  const profiles = Object.entries(pids).map(async ([name, pid]) => {
    const { begun, profile } = profileFiles(pid);
    const path = join(folder, profile);
    await appeared(path, folder, name);
    const read = JSON.parse(await readFile(path, 'utf8')) as CpuProfile;
    await Promise.all([rm(path), rm(join(folder, begun))]);
    return [name, read] as const;
  });
  return Object.fromEntries(await Promise.all(profiles));
}

function signal(pids: Readonly<Record<string, number>>): void {
  for (const [name, pid] of Object.entries(pids)) {
    try {
      process.kill(pid, 'SIGUSR2');
    } catch (error) {
      throw startupError(`${name} was not profiled: it has ended`, error);
    }
  }
}

/** Resolves once a file is there. It is looked for after watching began: nothing falls in between. */
async function appeared(path: string, folder: string, name: string): Promise<void> {
  const changed = watch(folder);
  let late: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const look = () => existsSync(path) && resolve();
      changed.on('change', look).on('error', reject);
      const failure = startupError(`${name} was not profiled: ${path} did not appear within ${DEADLINE_MS / 1000} s`);
      late = setTimeout(() => reject(failure), DEADLINE_MS);
      look();
    });
  } finally {
    clearTimeout(late);
    changed.close();
  }
}

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { startupError } from '@onepass/errors';

/** Cores that the systems run on, and those kept for whoever sends the load. */
export interface CoreSplit {
  readonly servers: readonly number[];
  readonly sender: readonly number[];
}

/** Fewer physical cores than this leave the servers too few, and none is kept for the sender. */
const FEWEST = 4;

/**
 * A quarter of the physical cores for the sender, whole ones: two threads of one core are not away from each other.
 * @param siblings logical cores that this process may use, one list for each physical core
 * @returns undefined where there are not enough
 */
export function splitCores(siblings: readonly (readonly number[])[] = physicalCores()): CoreSplit | undefined {
  if (siblings.length < FEWEST) return undefined;
  const first = siblings.length - Math.floor(siblings.length / FEWEST);
  return { servers: siblings.slice(0, first).flat(), sender: siblings.slice(first).flat() };
}

/** What `taskset` puts before a command, so that it runs on `cores` alone. */
export function pinning(cores: readonly number[] | undefined): readonly string[] {
  return cores === undefined ? [] : ['taskset', '-c', cores.join(',')];
}

/**
 * Moves a process with all its threads to `cores`.
 * @throws OnepassError `startup` where that cannot be done
 */
export function pinProcess(pid: number, cores: readonly number[]): void {
  try {
    execFileSync('taskset', ['-a', '-c', '-p', cores.join(','), String(pid)], { stdio: 'ignore' });
  } catch (error) {
    throw startupError(`process ${pid} could not be pinned to cores ${cores.join(',')} with taskset`, error);
  }
}

/**
 * @param allowed logical cores that this process may use, which may leave out a sibling
 * @param siblings names the physical core of a logical one
 * @returns the allowed logical cores of each physical core
 */
export function physicalCores(
  allowed: readonly number[] = allowedCores(),
  siblings: (core: number) => string = siblingsOf,
): number[][] {
  const cores = new Map<string, number[]>();
  for (const core of allowed) cores.set(siblings(core), [...(cores.get(siblings(core)) ?? []), core]);
  return [...cores.values()];
}

/** @param process its id; absent: this process */
export function allowedCores(process = 'self'): number[] {
  const status = readFileSync(`/proc/${process}/status`, 'utf8');
  return parseCores(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '');
}

/** The logical cores of the physical one, as the kernel lists them; a core whose list is hidden is taken as a whole one. */
function siblingsOf(core: number): string {
  try {
    return readFileSync(`/sys/devices/system/cpu/cpu${core}/topology/thread_siblings_list`, 'utf8').trim();
  } catch {
    return String(core);
  }
}

/** `0-2,7` */
export function parseCores(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    if (range === '' || first === undefined || last === undefined) return [];
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

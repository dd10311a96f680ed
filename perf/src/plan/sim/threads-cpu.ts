import { readdirSync, readFileSync } from 'node:fs';
import { byOwner } from '../../kit/where/threads.js';

/** CPU of one process so far, in ms: of its event loop, of its pool for graphs and files, and of its other threads. */
export interface LoopCpu {
  readonly loop: number;
  readonly pool: number;
  readonly other: number;
}

const NANOS_IN_MS = 1e6;

/**
 * As the kernel's scheduler counts it, in nanoseconds: a page takes less than a tick of `stat`.
 * @param pid a process of Node
 * @throws an Error when it has ended
 */
export function loopCpu(pid: number): LoopCpu {
  const threads = readdirSync(`/proc/${pid}/task`).flatMap((id) => {
    try {
      const ms = Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]) / NANOS_IN_MS;
      return [{ id: Number(id), name: nameOf(pid, id), ms }];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
  const { main, pool, v8, profiler } = byOwner(pid, threads);
  return { loop: main, pool, other: v8 + profiler };
}

const names = new Map<string, string>();

/** Threads do not change their names once they run. */
function nameOf(pid: number, thread: string): string {
  const key = `${pid}/${thread}`;
  const name = names.get(key) ?? readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').trim();
  names.set(key, name);
  return name;
}

export function cpuBetween(before: LoopCpu, after: LoopCpu): LoopCpu {
  return { loop: after.loop - before.loop, pool: after.pool - before.pool, other: after.other - before.other };
}

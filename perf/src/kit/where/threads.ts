import { readdirSync, readFileSync } from 'node:fs';
import { cpuMsOf } from '../../machine.js';

/** CPU that the threads of a process have used, in ms, by whose they are. */
export interface ThreadTimes {
  /** The one that runs JavaScript. */
  readonly main: number;
  /** libuv's pool: graph runs, files, stores. */
  readonly pool: number;
  /** Of V8: it collects garbage and compiles beside the main thread. */
  readonly v8: number;
  /** The profiler's own: a cost of measuring. */
  readonly profiler: number;
}

interface Thread {
  readonly id: number;
  readonly name: string;
  readonly ms: number;
}

/** @throws an Error when the process has ended */
export function threadTimes(pid: number): ThreadTimes {
  return byOwner(pid, readThreads(pid));
}

export function timesBetween(before: ThreadTimes, after: ThreadTimes): ThreadTimes {
  return {
    main: after.main - before.main,
    pool: after.pool - before.pool,
    v8: after.v8 - before.v8,
    profiler: after.profiler - before.profiler,
  };
}

function readThreads(pid: number): Thread[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((id) => {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8');
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
      return [{ id: Number(id), name, ms: cpuMsOf(stat) }];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
}

/**
 * Node 20 gives its threads no names: the first ones after the main thread are V8's, a scheduler and four workers, and then one that waits
 * for a debugger; those of libuv's pool are made when they are first needed. Later versions name them.
 */
const UNNAMED_BEFORE_POOL = 6;

export function byOwner(pid: number, threads: readonly Thread[]): ThreadTimes {
  const others = threads.filter(({ id }) => id !== pid).sort((a, b) => a.id - b.id);
  const unnamed = others.filter(({ name }) => name === 'node' || name === 'MainThread');
  const owner = (thread: Thread): keyof ThreadTimes => {
    if (thread.name.startsWith('v8:Prof')) return 'profiler';
    if (/libuv|uv-worker/.test(thread.name)) return 'pool';
    if (/v8|delayed|signal/i.test(thread.name)) return 'v8';
    return unnamed.indexOf(thread) >= UNNAMED_BEFORE_POOL ? 'pool' : 'v8';
  };
  const times = { main: threads.find(({ id }) => id === pid)?.ms ?? 0, pool: 0, v8: 0, profiler: 0 };
  for (const thread of others) times[owner(thread)] += thread.ms;
  return times;
}

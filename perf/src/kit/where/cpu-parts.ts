import { CPU_PARTS, type CpuPart, type FlameFrame } from '../report/findings.js';
import { partOfStack } from './call-parts.js';
import { type CpuProfile, type ProfileNode, selfMicros } from './cpu-profile.js';
import type { ThreadTimes } from './threads.js';

/** One process over the time of its profile. */
export interface Profiled {
  readonly profile: CpuProfile;
  /** CPU of its threads in that time, as the kernel counted it. */
  readonly threads: ThreadTimes;
  /** Pages that were made in it. */
  readonly pages: number;
}

/** CPU in ms a page by what it is for. Their sum is the process's CPU, without what the profiler's own thread took. */
export function cpuPartsOf(profiled: Profiled): { name: CpuPart; ms: number }[] {
  const sums = new Map<CpuPart, number>();
  const add = (part: CpuPart, ms: number) => sums.set(part, (sums.get(part) ?? 0) + ms);
  const calls = callsOf(profiled);
  for (const { path, selfMs } of calls) add(partOfStack(path.toReversed()), selfMs);
  for (const { part, ms } of otherThreads(profiled, calls.length > 0)) add(part, ms);
  return CPU_PARTS.flatMap((name) => {
    const ms = sums.get(name) ?? 0;
    return ms > 0 ? [{ name, ms }] : [];
  });
}

/** Frames that are narrower than this share of all are left out: nobody could see them. */
const VISIBLE = 0.002;

/**
 * All stacks of a process as a tree, frames of the same function within the same one together; ms of CPU a page. Beside the main thread's
 * stand the other threads, whose stacks nobody sees.
 */
export function flameOf(profiled: Profiled, root: string): FlameFrame[] {
  const calls = callsOf(profiled);
  const top: Growing = { name: '', where: '', part: 'other JavaScript', ms: 0, inner: new Map() };
  for (const { path, selfMs } of calls) {
    top.ms += selfMs;
    let at = top;
    for (const [depth, node] of path.entries()) {
      at = inside(at, node, () => partOfStack(path.slice(0, depth + 1).toReversed()), root);
      at.ms += selfMs;
    }
  }
  const others = otherThreads(profiled, calls.length > 0);
  const all = top.ms + others.reduce((sum, { ms }) => sum + ms, 0);
  const main = frozen(top, VISIBLE * all);
  return [
    ...main,
    ...others.filter(({ ms }) => ms > VISIBLE * all).map(({ what, part, ms }) => ({ name: what, part, ms, inner: [] })),
  ];
}

interface Call {
  /** From the outermost function to the one that was running. */
  readonly path: readonly ProfileNode[];
  /** CPU in ms a page. */
  readonly selfMs: number;
}

/**
 * What was seen running on the main thread, without its idle time. The profiler's clock also runs while other processes have the core:
 * it says the shares, the kernel says the whole.
 */
function callsOf({ profile, threads, pages }: Profiled): Call[] {
  const self = selfMicros(profile);
  const callers = new Map(profile.nodes.flatMap((node) => (node.children ?? []).map((id) => [id, node] as const)));
  const pathTo = (node: ProfileNode) => {
    const path: ProfileNode[] = [];
    for (let at: ProfileNode | undefined = node; at !== undefined; at = callers.get(at.id)) path.unshift(at);
    return path.filter(({ callFrame }) => callFrame.functionName !== '(root)');
  };
  const busy = profile.nodes
    .filter(({ id, callFrame }) => self.has(id) && callFrame.functionName !== '(idle)')
    .map((node) => ({ path: pathTo(node), micros: self.get(node.id)! }))
    .filter(({ path }) => !path.some(isOfProfiler));
  const seen = busy.reduce((sum, { micros }) => sum + micros, 0);
  if (seen === 0 || pages === 0) return [];
  const msOfMicros = threads.main / seen / pages;
  return busy.map(({ path, micros }) => ({ path, selfMs: micros * msOfMicros }));
}

/** Starting and stopping a profile takes the main thread up to some tenths of a second, in which no page is made. */
const isOfProfiler = ({ callFrame: { url } }: ProfileNode) => url.startsWith('node:inspector');

function otherThreads({ threads, pages }: Profiled, seen: boolean): { what: string; part: CpuPart; ms: number }[] {
  if (pages === 0) return [];
  const { main, pool, v8 } = threads;
  const others: { what: string; part: CpuPart; ms: number }[] = [
    { what: 'threads of libuv’s pool', part: 'graphs, thread pool', ms: pool / pages },
    { what: 'V8’s own threads', part: 'garbage collection, V8’s threads', ms: v8 / pages },
    // A main thread that was never seen running has used its CPU for something all the same.
    { what: 'main thread', part: 'native and kernel', ms: seen ? 0 : main / pages },
  ];
  return others.filter(({ ms }) => ms > 0);
}

interface Growing {
  readonly name: string;
  readonly where: string;
  readonly part: CpuPart;
  ms: number;
  readonly inner: Map<string, Growing>;
}

function inside(outer: Growing, { callFrame }: ProfileNode, part: () => CpuPart, root: string): Growing {
  const name = callFrame.functionName || 'anonymous function';
  const where = shortPath(callFrame.url, root);
  const key = `${name} ${where}`;
  const known = outer.inner.get(key);
  if (known) return known;
  const frame: Growing = { name, where, part: part(), ms: 0, inner: new Map() };
  outer.inner.set(key, frame);
  return frame;
}

/** Within the repository, or of a package from its name on. */
function shortPath(url: string, root: string): string {
  const path = decodeURI(url.replace(/^file:\/\//, ''));
  const packaged = /.*\/node_modules\/(.*)/.exec(path)?.[1];
  return packaged ?? (path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path);
}

/** The widest first. */
function frozen({ inner }: Growing, least: number): FlameFrame[] {
  return [...inner.values()]
    .filter(({ ms }) => ms >= least)
    .sort((a, b) => b.ms - a.ms)
    .map((frame) => ({
      name: frame.name,
      ...(frame.where !== '' && { where: frame.where }),
      part: frame.part,
      ms: Number(frame.ms.toPrecision(4)),
      inner: frozen(frame, least),
    }));
}

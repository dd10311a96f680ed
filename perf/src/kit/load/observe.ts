import { setTimeout as delay } from 'node:timers/promises';
import { cpuMs } from '../../machine.js';
import type { Window } from './seen.js';
import type { Sender } from './sender.js';

/** What is loaded. */
export interface LoadTarget {
  /** host:port of a Recommend. */
  readonly address: string;
  /** Its processes as they are now, by name. */
  pids(): Readonly<Record<string, number>>;
  /** Degraded pages so far. */
  degraded(): Promise<number>;
  /** Pages so far by where their KV came from; absent where the server does not count them. */
  kv?(): Promise<Readonly<Record<string, number>>>;
}

/** The measured part of a load, seen from outside. */
export interface Observed {
  readonly window: Window;
  /** CPU of each process within it, in ms; a process that ended is left out. */
  readonly cpuMs: Readonly<Record<string, number>>;
  /** CPU of the sender as a share of one core. */
  readonly senderCpu: number;
  /** Undefined when the target did not say. */
  readonly degraded: number | undefined;
  readonly kv: Readonly<Record<string, number>> | undefined;
  /** Why it ended before its time. */
  readonly cutShort: string | undefined;
}

interface Reading {
  readonly atMs: number;
  readonly pids: Readonly<Record<string, number>>;
  readonly cpu: Readonly<Record<string, number | undefined>>;
  readonly sender: number | undefined;
}

/**
 * Waits the warm-up out and reads all processes at the beginning and the end of what is measured, while the load goes on at both: the
 * CPU between the two belongs to the calls that ended between them, without anybody's start or end.
 */
export async function observe(
  target: LoadTarget,
  sender: Sender,
  { warmUpSeconds, seconds }: { warmUpSeconds: number; seconds: number },
): Promise<Observed> {
  const over = new AbortController();
  const stop = () => over.abort();
  sender.finished.then(stop, stop);
  await until(sender.beganMs + 1000 * warmUpSeconds, over.signal);
  // What the target counts is asked for without waiting: a server under load answers late, and the window must not move with it.
  const before = read(target, sender);
  const countingBefore = counters(target);
  await until(before.atMs + 1000 * seconds, over.signal);
  const early = over.signal.aborted;
  const after = read(target, sender);
  const [countedBefore, counted] = await Promise.all([countingBefore, counters(target)]);
  const wallMs = after.atMs - before.atMs;
  return {
    window: { fromMs: before.atMs, toMs: after.atMs },
    cpuMs: cpuBetween(before, after),
    senderCpu: ((after.sender ?? Number.NaN) - (before.sender ?? Number.NaN)) / wallMs,
    degraded: counted && countedBefore && counted.degraded - countedBefore.degraded,
    kv: counted?.kv && countedBefore?.kv && gained(countedBefore.kv, counted.kv),
    cutShort:
      gone(before, after) ?? (early ? `the sender ended ${(wallMs / 1000).toFixed(1)} s into ${seconds} s` : undefined),
  };
}

async function until(atMs: number, signal: AbortSignal): Promise<void> {
  await delay(Math.max(0, atMs - Date.now()), undefined, { signal }).catch(() => {});
}

/** Undefined when the server does not answer: its calls will show it. */
async function counters(
  target: LoadTarget,
): Promise<{ degraded: number; kv: Record<string, number> | undefined } | undefined> {
  try {
    const [degraded, kv] = await Promise.all([target.degraded(), target.kv?.()]);
    return { degraded, kv };
  } catch {
    return undefined;
  }
}

function read(target: LoadTarget, sender: Sender): Reading {
  const pids = target.pids();
  const cpu = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpuOf(pid)]));
  return { sender: cpuOf(sender.pid), pids, cpu, atMs: Date.now() };
}

/** Undefined of a process that has ended. */
function cpuOf(pid: number): number | undefined {
  try {
    return cpuMs(pid);
  } catch {
    return undefined;
  }
}

function cpuBetween(before: Reading, after: Reading): Record<string, number> {
  const spent: Record<string, number> = {};
  for (const [name, from] of Object.entries(before.cpu)) {
    const to = after.cpu[name];
    if (from !== undefined && to !== undefined && before.pids[name] === after.pids[name]) spent[name] = to - from;
  }
  return spent;
}

function gone(before: Reading, after: Reading): string | undefined {
  const names = Object.keys(before.pids).filter(
    (name) => before.pids[name] !== after.pids[name] || after.cpu[name] === undefined,
  );
  return names.length === 0 ? undefined : `${names.join(' and ')} ended during the load`;
}

/** What counters have gained, by name, without those that have not. */
export function gained(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> {
  const gains = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  return Object.fromEntries(gains.filter(([, gain]) => gain > 0));
}

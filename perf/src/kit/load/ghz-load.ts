import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startupError } from '@onepass/errors';
import { pinning } from './cores.js';
import type { SentCall } from './seen.js';
import { endOf, lastWords, type Sender, type SenderReport } from './sender.js';

const METHOD = 'onepass.gateway.v1.RecommendationService/Recommend';
/** Of an open loop ghz uses them to begin calls only, not to wait for them. */
const OPEN_WORKERS = 8;
const TIMEOUT_SECONDS = 20;
const LOOK_EVERY_MS = 10;

export interface GhzTerms {
  readonly ghz: string;
  readonly address: string;
  /** Descriptors of the contract: without them ghz would ask the server for reflection. */
  readonly protoset: string;
  /** JSON file with an array of requests, sent in turn. */
  readonly requests: string;
  /** Closed: calls at any time. Open: whole calls a second. */
  readonly loop:
    | { readonly kind: 'closed'; readonly concurrency: number }
    | { readonly kind: 'open'; readonly rate: number };
  readonly connections: number;
  readonly seconds: number;
  /** For ghz's report. */
  readonly folder: string;
  readonly cores?: readonly number[] | undefined;
}

/** Resolves when ghz begins its load. @throws OnepassError `startup` when it does not start */
export async function startGhz(terms: GhzTerms): Promise<Sender> {
  const output = join(terms.folder, 'ghz.json');
  const [command, ...args] = [...pinning(terms.cores), terms.ghz, ...flags(terms), `--output=${output}`, terms.address];
  const child = spawn(command as string, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = lastWords(child.stderr);
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const finished = ended.then(async ([code, signal]): Promise<SenderReport> => {
    if (signal !== null) {
      const cutShort = `ghz ${endOf(code, signal)}: what it saw is lost, since it reports at its end only`;
      return { calls: [], notes: [], cutShort };
    }
    if (code !== 0) throw startupError(`ghz ${endOf(code, signal)}: ${said()}`);
    return { calls: parseCalls(await readFile(output, 'utf8'), terms.loop), notes: [] };
  });
  finished.catch(() => {}); // Whoever waits for it hears of it.
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw startupError(`${command} does not start`, error);
  }
  const pid = child.pid as number;
  while (child.exitCode === null && child.signalCode === null && !hasConnected(pid)) await delay(LOOK_EVERY_MS);
  return { pid, beganMs: Date.now(), finished };
}

/** ghz connects when it has read everything, and then begins. */
function hasConnected(pid: number): boolean {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((fd) => Number(fd) > 2 && readlinkSync(join(folder, fd)).startsWith('socket:'));
  } catch {
    return false; // A file that was closed meanwhile, or ghz has ended.
  }
}

function flags({ protoset, requests, loop, connections, seconds }: GhzTerms): string[] {
  return [
    '--insecure',
    `--protoset=${protoset}`,
    `--call=${METHOD}`,
    `--data-file=${requests}`,
    `--concurrency=${loop.kind === 'closed' ? loop.concurrency : OPEN_WORKERS}`,
    `--connections=${connections}`,
    `--duration=${seconds}s`,
    `--timeout=${TIMEOUT_SECONDS}s`,
    ...(loop.kind === 'open' ? [`--rps=${loop.rate}`, '--async'] : []),
    // Calls under way at the end are waited for: cut off they would count as errors of the server.
    '--duration-stop=wait',
    '--format=json',
  ];
}

/** One call in ghz's report: `timestamp` is when it ended, `latency` in ns from when it was begun. */
interface Detail {
  readonly timestamp: string;
  readonly latency: number;
  readonly status: string;
}

/**
 * Every call of ghz's JSON report, by when it was sent. In an open loop ghz means to send its i-th call, counted from 1, i intervals after
 * it began; when it falls behind it sends at once until it has caught up, and counts latency from there. Here calls keep the time they were meant for.
 */
export function parseCalls(json: string, loop: GhzTerms['loop']): SentCall[] {
  const details = (JSON.parse(json) as { details: readonly Detail[] | null }).details ?? [];
  const calls = details.map(({ timestamp, latency, status }) => {
    const endedMs = parseTime(timestamp);
    const sentMs = endedMs - latency / 1e6;
    return { intendedMs: sentMs, sentMs, endedMs, status: statusName(status) };
  });
  calls.sort((a, b) => a.sentMs - b.sentMs);
  return loop.kind === 'closed' ? calls : onSchedule(calls, loop.rate);
}

/**
 * ghz does not report when it began: the most punctual call is taken to be in time, which it is to a fraction of a millisecond. Once a
 * connection is lost, gRPC tries calls again on its own and ghz counts every try, so the places of calls from there on say nothing.
 */
function onSchedule(calls: readonly SentCall[], rate: number): SentCall[] {
  const intervalMs = Math.floor(1e9 / rate) / 1e6;
  const lost = calls.findIndex(({ status }) => status === 'UNAVAILABLE');
  const placed = lost < 0 ? calls : calls.slice(0, lost);
  const beganMs = placed.reduce(
    (least, { sentMs }, i) => Math.min(least, sentMs - i * intervalMs),
    Number.POSITIVE_INFINITY,
  );
  return calls.map((call, i) => (i < placed.length ? { ...call, intendedMs: beganMs + i * intervalMs } : call));
}

/** Go writes up to nine digits of a second, and leaves zeros out. */
function parseTime(timestamp: string): number {
  const [, seconds = '', fraction = '', zone = ''] = /^([^.]+?)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(timestamp) ?? [];
  return Date.parse(seconds + zone) + Number(`0${fraction}`) * 1000;
}

/** Go writes ResourceExhausted, and Canceled with one l. */
function statusName(status: string): string {
  if (status === 'Canceled') return 'CANCELLED';
  return status.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();
}

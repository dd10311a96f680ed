import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { findGhz } from '../../ghz.js';
import type { Habits, MeasuredPage } from '../../page.js';
import { personId } from '../../people.js';
import type { LoadKind, LoadSeen } from '../measurements.js';
import { type CoreSplit, pinProcess } from './cores.js';
import { startGhz } from './ghz-load.js';
import { type LoadTarget, type Observed, observe } from './observe.js';
import type { ReplayTerms } from './replay.js';
import { startReplayer } from './replayer.js';
import { countBy, endedWithin, latenessOf, type SentCall, seenOf, within } from './seen.js';
import type { ActionsSeen, Sender, SenderReport } from './sender.js';
import { usualTrace } from './trace.js';
import type { TraceParameters } from './trace-events.js';

export interface LoadOptions {
  readonly seconds: number;
  /** Sent before what is measured, and left out of everything. */
  readonly warmUpSeconds: number;
  /** Persons personId(0) to personId(people - 1), whose histories are there. Of a trace, its own number of people counts. */
  readonly people: number;
  /**
   * Whose page each next call of a closed or open loop is for, over and over; absent: person after person. In turn, more people than the KV
   * has slots never find theirs again, and fewer always do: for a share between, give the order of a trace (visitsOf).
   */
  readonly order?: readonly number[];
  readonly page: MeasuredPage;
  /** For files of the load. */
  readonly folder: string;
  /** File of writeProtoset. */
  readonly protoset: string;
  /** Absent: the one that is found. */
  readonly ghz?: string;
  /** As splitCores has it: the target's processes and the sender are kept apart. Absent: nobody is pinned. */
  readonly cores?: CoreSplit | undefined;
  /** What a trace needs beside. */
  readonly trace?: TraceTerms;
  /** Calls that the replayer may have in flight before it says that it fell behind. */
  readonly maxInFlight?: number;
  /** JavaScript file of replayer.program.ts; absent: the built one. */
  readonly replayer?: string;
}

export interface TraceTerms {
  readonly seed: number;
  readonly habits: Habits;
  /** Items of the release, for actions beside those on pages. */
  readonly itemIds: readonly string[];
  /** Surfaces of the release: related and search are in the trace where they are here. */
  readonly surfaces: readonly string[];
  /** Texts to search for; empty where the release embeds none. */
  readonly queries: readonly string[];
  /** A day is pressed into this; absent: a minute. */
  readonly dayMs?: number;
  /** Other than usual. */
  readonly parameters?: Partial<ReturnType<typeof usualTrace>>;
}

export interface SentLoad {
  readonly seen: LoadSeen;
  /** Pages by where their KV came from: as they said themselves, or, to ghz, as the server counted them. */
  readonly kv: Readonly<Record<string, number>>;
  /** CPU that each process used, in ms a page; what a trace's actions cost is in it. Empty when no page was answered. */
  readonly cpuMs: Readonly<Record<string, number>>;
  /** How much later than meant calls went out, in ms. In a closed loop nothing is late. */
  readonly lateMs: { readonly p50: number; readonly p99: number };
  /** Of a trace, warm-up included. */
  readonly actions: ActionsSeen | undefined;
  /** Sentences about what the figures do not show. */
  readonly notes: readonly string[];
  /** Why the load ended before its time, in a sentence: `seen` is then of what there was until then. */
  readonly cutShort: string | undefined;
}

const CONNECTIONS = 8;
const MAX_IN_FLIGHT = 512;
/** The load goes on beyond what is measured, so that the end is no slackening. */
const MARGIN_SECONDS = 0.3;
/** A sender that is later than this for one call in a hundred is worth a sentence. */
const LATE_MS = 5;
/** Share of its core at which a sender of one thread hardly keeps its times. */
const BUSY = 0.8;

/**
 * Sends one load to one target and says what was seen of it after the warm-up.
 * - closed: ghz, `concurrency` calls at any time, over as many connections, at most 8
 * - open: ghz over 8 connections, whole calls a second
 * - trace: the replayer over 8 connections
 * @throws OnepassError `startup` when nothing answers at the target, the sender does not start or the trace cannot be made
 */
export async function sendLoad(load: LoadKind, target: LoadTarget, options: LoadOptions): Promise<SentLoad> {
  await mustAnswer(target.address);
  if (load.kind === 'trace') {
    const terms = replayTerms(target, options, load.people, termsOf(options));
    const order = { terms, trace: traceOf(load, options) };
    return measure(target, options, () => startReplayer(order, placeOf(options)), []);
  }
  const open = load.kind === 'open';
  const rate = open ? wholeRate(load.qps) : 0;
  const start = async () =>
    startGhz({
      ghz: options.ghz ?? findGhz(),
      address: target.address,
      protoset: options.protoset,
      requests: await writeRequests(options),
      loop: open ? { kind: 'open', rate } : load,
      connections: open ? CONNECTIONS : Math.min(CONNECTIONS, load.concurrency),
      seconds: lengthOf(options),
      folder: options.folder,
      cores: options.cores?.sender,
    });
  const rounded = open && rate !== load.qps ? [`ghz sends whole calls a second: ${rate} in place of ${load.qps}`] : [];
  return measure(target, options, start, rounded);
}

/** Plain pages at even times by the replayer: what ghz does in an open loop. */
export async function replayPlain(qps: number, target: LoadTarget, options: LoadOptions): Promise<SentLoad> {
  await mustAnswer(target.address);
  const content = { habits: NO_HABITS, itemIds: [], queries: [] };
  const plain = { durationMs: 1000 * lengthOf(options), qps, people: options.people };
  const order = { terms: replayTerms(target, options, options.people, content), plain };
  return measure(target, options, () => startReplayer(order, placeOf(options)), []);
}

const NO_HABITS: Habits = { surface: '', usual: [], seldom: [] };

async function measure(
  target: LoadTarget,
  options: LoadOptions,
  start: () => Promise<Sender>,
  notes: readonly string[],
): Promise<SentLoad> {
  if (options.cores !== undefined) {
    for (const pid of Object.values(target.pids())) pinProcess(pid, options.cores.servers);
  }
  const sender = await start();
  const observed = await observe(target, sender, options);
  const report = await sender.finished;
  return toldOf(report, observed, options, notes);
}

function toldOf(report: SenderReport, observed: Observed, { cores }: LoadOptions, notes: readonly string[]): SentLoad {
  const { window, senderCpu, degraded } = observed;
  const { calls } = report;
  const seen = seenOf(calls, window, { degraded: degraded ?? 0, senderCpu, senderCores: cores?.sender });
  const answered = endedWithin(calls, window);
  const lateMs = latenessOf(calls, window);
  return {
    seen,
    kv: kvOf(calls, observed),
    cpuMs:
      answered === 0
        ? {}
        : Object.fromEntries(Object.entries(observed.cpuMs).map(([name, ms]) => [name, ms / answered])),
    lateMs,
    actions: report.actions,
    notes: [...notes, ...report.notes, ...notesOn(seen, lateMs, { calls, degraded })],
    cutShort: report.cutShort ?? observed.cutShort,
  };
}

function kvOf(calls: readonly SentCall[], { window, kv }: Observed): Readonly<Record<string, number>> {
  const read = calls.flatMap(({ kv: source, intendedMs }) =>
    source !== undefined && within(window, intendedMs) ? [source] : [],
  );
  return read.length > 0 ? countBy(read) : (kv ?? {});
}

function notesOn(
  seen: LoadSeen,
  late: SentLoad['lateMs'],
  { calls, degraded: counted }: { calls: readonly SentCall[]; degraded: number | undefined },
): string[] {
  const readsAnswers = calls.some(({ degraded }) => degraded !== undefined);
  const unsent = seen.errors.NOT_SENT ?? 0;
  return [
    ...(seen.good === 0 ? ['no page was whole'] : []),
    ...(counted === undefined && !readsAnswers ? ['the server did not say how many pages were degraded'] : []),
    ...(seen.degraded > 0 && !readsAnswers
      ? [`ghz reads no answers: the latencies hold the ${seen.degraded} degraded pages too`]
      : []),
    ...(unsent > 0 ? [`the sender fell behind: ${unsent} pages were not sent, since too many were in flight`] : []),
    ...(readsAnswers && seen.senderCpu > BUSY
      ? [`the replayer used ${seen.senderCpu.toFixed(2)} of a core: it may itself be what was measured`]
      : []),
    ...(late.p99 > LATE_MS
      ? [`the sender was late, by ${late.p99.toFixed(1)} ms for one call in a hundred; the latencies hold it`]
      : []),
  ];
}

/**
 * The trace that sendLoad sends for this load.
 * @throws OnepassError `startup` without options.trace
 */
export function traceOf(load: Extract<LoadKind, { kind: 'trace' }>, options: LoadOptions): TraceParameters {
  const terms = termsOf(options);
  const usual = { ...usualTrace(terms.dayMs), ...terms.parameters };
  const has = (surface: string) => terms.surfaces.includes(surface);
  return {
    ...usual,
    seed: terms.seed,
    durationMs: 1000 * lengthOf(options),
    qps: load.qps,
    people: load.people,
    pageSize: options.page.pageSize,
    surfaces: {
      related: has('related') ? usual.surfaces.related : 0,
      search: has('search') && terms.queries.length > 0 ? usual.surfaces.search : 0,
    },
    // What is measured is one whole period, so that its rate is the mean one.
    rhythm: { periodMs: 1000 * options.seconds, swing: usual.rhythm.swing },
  };
}

function termsOf({ trace }: LoadOptions): TraceTerms {
  if (trace === undefined) throw startupError('a trace needs items, habits and a seed: options.trace');
  if (trace.itemIds.length === 0) throw startupError('a trace needs items that people act on: options.trace.itemIds');
  return trace;
}

function replayTerms(
  { address }: LoadTarget,
  { page, maxInFlight = MAX_IN_FLIGHT }: LoadOptions,
  people: number,
  { habits, itemIds, queries }: Pick<TraceTerms, 'habits' | 'itemIds' | 'queries'>,
): ReplayTerms {
  const content = { runId: randomUUID().slice(0, 8), page, people, habits, itemIds, queries };
  return { address, connections: CONNECTIONS, maxInFlight, content };
}

const placeOf = ({ cores, replayer }: LoadOptions) => ({ cores: cores?.sender, program: replayer });
const lengthOf = ({ warmUpSeconds, seconds }: LoadOptions) => warmUpSeconds + seconds + MARGIN_SECONDS;

function wholeRate(qps: number): number {
  if (qps >= 0.5) return Math.round(qps);
  throw startupError(`an open loop needs at least one page a second, not ${qps}`);
}

/** Pages for ghz, which begins anew when it is through. */
async function writeRequests({ people, order, page, folder }: LoadOptions): Promise<string> {
  const file = join(folder, 'requests.json');
  const { surface, pageSize, candidates } = page;
  const persons = order ?? Array.from({ length: people }, (_, person) => person);
  const requests = persons.map((person) => ({
    person: { user_id: personId(person) },
    surface,
    page_size: pageSize,
    candidates,
  }));
  await writeFile(file, JSON.stringify(requests));
  return file;
}

function mustAnswer(address: string): Promise<void> {
  const at = address.lastIndexOf(':');
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host: address.slice(0, at), port: Number(address.slice(at + 1)) });
    socket.setTimeout(5_000, () => socket.destroy(new Error('no answer within 5 s')));
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', ({ message }) => reject(startupError(`no load can be sent to ${address}: ${message}`)));
  });
}

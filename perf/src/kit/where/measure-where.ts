import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import type { Release } from '@onepass/release';
import { pageOf } from '../../page.js';
import { OtlpReceiver } from '../../telemetry/otlp-receiver.js';
import type { Shape } from '../measurements.js';
import type { CpuParts, Flame, Waterfall } from '../report/findings.js';
import { kvMiBOf } from '../run/memory.js';
import { prepareSystem } from '../run/prepare.js';
import type { RunningSystem } from '../systems/running-system.js';
import { type CommonSettings, startSystem } from '../systems/systems.js';
import { cpuPartsOf, flameOf, type Profiled } from './cpu-parts.js';
import { hopMs } from './hop.js';
import { PageCaller } from './page-caller.js';
import { beginProfiles, endProfiles, profiledEnvironment } from './profiler.js';
import { threadTimes, timesBetween } from './threads.js';
import { tracedSpans } from './traced-spans.js';
import { mostUsual } from './usual-request.js';
import { partsOf, SHORTEST_MS } from './waterfall.js';

/** What is measured. A `Bed` of the kit is one. */
export interface WhereBed {
  readonly shape: Shape;
  /** People whose KV is held. */
  readonly people: number;
  /** Slots of the KV pool; no fewer than people. */
  readonly slots: number;
  /** Pages are asked for so long before anything counts: until the JavaScript is compiled. */
  readonly heatSeconds: number;
  /** How long CPU is looked at, without a profiler and with one. */
  readonly seconds: number;
}

/** What it is measured with. A `Ground` of the kit is one. */
export interface WhereGround {
  readonly releaseDir: string;
  readonly release: Release;
  readonly settings: CommonSettings;
  /** For histories and profiles. */
  readonly folder: string;
  readonly progress: (line: string) => void;
}

export interface Where {
  readonly waterfall: Waterfall;
  /** By process. */
  readonly cpu: readonly CpuParts[];
  readonly flames: readonly Flame[];
}

export interface WhereTerms {
  /** JavaScript file of profiler.program.ts; absent: the built one. */
  readonly profiler?: string;
  /** Warm pages of which the most usual one is taken apart; absent: 300. */
  readonly pages?: number;
}

/** Pages at a time while CPU is looked at: what saturates two cores. */
const AT_A_TIME = 4;
const PAGES = 300;

/**
 * Starts system A twice: once with a profiler in each process, loaded with as many pages as it answers, and once with all requests traced,
 * asked for one warm page after the other.
 * @throws OnepassError `startup` when it does not start, a page does not become warm, or a process leaves no profile
 */
export async function measureWhere(bed: WhereBed, ground: WhereGround, terms: WhereTerms = {}): Promise<Where> {
  ground.progress('profiling the processes of A');
  const { cpu, flames } = await measureCpu(bed, ground, terms);
  ground.progress('tracing warm pages of A');
  return { waterfall: await measureWaterfall(bed, ground, terms), cpu, flames };
}

const ofA = ({ shape }: WhereBed) => ({ date: new Date().toISOString(), shape, system: 'A' as const });

async function measureCpu(
  bed: WhereBed,
  ground: WhereGround,
  { profiler }: WhereTerms,
): Promise<{ cpu: CpuParts[]; flames: Flame[] }> {
  const profiles = join(ground.folder, 'profiles');
  await mkdir(profiles, { recursive: true });
  return withA(bed, ground, profiledEnvironment(profiles, profiler), async (system, caller) => {
    const pids = system.pids();
    const plain = await spent(pids, () => caller.many(AT_A_TIME, bed.seconds));
    await beginProfiles(pids, profiles);
    const seen = await spent(pids, () => caller.many(AT_A_TIME, bed.seconds));
    const read = await endProfiles(pids, profiles);
    const of = ofA(bed);
    const profiled = Object.keys(pids).map((process): [string, Profiled] => [
      process,
      { profile: read[process]!, threads: seen.threads[process]!, pages: seen.pages },
    ]);
    return {
      cpu: profiled.map(([process, one]) => {
        const { main, pool, v8 } = plain.threads[process]!;
        return { ...of, process, parts: cpuPartsOf(one), plainMs: (main + pool + v8) / plain.pages };
      }),
      flames: profiled.map(([process, one]) => ({ ...of, process, frames: flameOf(one, repositoryRoot) })),
    };
  });
}

/** CPU of all threads while pages are made. */
async function spent(pids: Readonly<Record<string, number>>, pagesMade: () => Promise<number>) {
  const read = () => Object.fromEntries(Object.entries(pids).map(([process, pid]) => [process, threadTimes(pid)]));
  const before = read();
  const pages = await pagesMade();
  const after = read();
  const between = Object.keys(pids).map((one) => [one, timesBetween(before[one]!, after[one]!)] as const);
  return { pages, threads: Object.fromEntries(between) };
}

async function measureWaterfall(bed: WhereBed, ground: WhereGround, { pages = PAGES }: WhereTerms): Promise<Waterfall> {
  const receiver = await OtlpReceiver.listen();
  try {
    // Callers alone decide: what heats the system is not traced.
    const settings = { ONEPASS_OTLP_ENDPOINT: receiver.endpoint, ONEPASS_TRACE_RATIO: '0' };
    const traced = await withA(bed, ground, settings, (_, caller) => caller.traced(pages));
    // All processes have ended, and sent what they had of it.
    const hop = await hopMs();
    const served = receiver.traces();
    const divided = traced.map(({ traceId, ms, spans }) => {
      const whole = [...spans, ...tracedSpans(served.get(traceId) ?? [])];
      return { ms, parts: partsOf(whole, hop) };
    });
    return {
      ...ofA(bed),
      what:
        `of ${traced.length} warm requests, one at a time and all of them traced, the most usual of median length; ` +
        `parts under ${SHORTEST_MS} ms count with the next one, save waits; a graph run's way to its thread and back is taken as that of an empty call`,
      spans: mostUsual(divided)!.parts,
    };
  } finally {
    receiver.close();
  }
}

/** Starts A, makes it warm and hot, and ends it. */
async function withA<T>(
  bed: WhereBed,
  { releaseDir, release, folder, settings }: WhereGround,
  more: Readonly<Record<string, string>>,
  use: (system: RunningSystem, caller: PageCaller) => Promise<T>,
): Promise<T> {
  const { people, shape, slots, heatSeconds } = bed;
  const page = { ...pageOf(release), candidates: shape.k };
  const kvMiB = kvMiBOf({ slots }, { ...shape, n: release.manifest.model.window });
  const own = join(folder, 'where');
  await mkdir(own, { recursive: true });
  const system = await startSystem('A', { releaseDir, kvMiB, folder: own, settings: { ...settings, ...more } });
  const caller = new PageCaller(system.address, page, people);
  try {
    await prepareSystem(system, release, page, { people, length: shape.n });
    await caller.many(AT_A_TIME, heatSeconds);
    return await use(system, caller);
  } finally {
    caller.close();
    await system.stop();
  }
}

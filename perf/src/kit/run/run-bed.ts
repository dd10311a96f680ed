import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { OnepassError } from '@onepass/errors';
import type { Items, Release } from '@onepass/release';
import { BareChain } from '../../bare-chain.js';
import { residentMiB } from '../../machine.js';
import { habitsOf, type MeasuredPage, pageOf } from '../../page.js';
import { median } from '../../statistics.js';
import {
  type CoreSplit,
  gatewayTarget,
  type LoadOptions,
  makeTrace,
  sendLoad,
  usualTrace,
  visitsOf,
} from '../load/index.js';
import type { Measurement, SystemName } from '../measurements.js';
import { isMonolith, startMonolith } from '../monolith/monolith.js';
import { CHAIN_CONCURRENCY, type Store, type Subject } from '../report/index.js';
import { ShapeCompute } from '../shape/pure-compute.js';
import type { RunningSystem } from '../systems/running-system.js';
import { type CommonSettings, startSystem } from '../systems/systems.js';
import { kvMiBOf } from './memory.js';
import type { Bed, PlannedLoad } from './plan.js';
import { gatewayTimes, prepareSystem } from './prepare.js';

/** What a bed is run with. */
export interface Ground {
  readonly releaseDir: string;
  readonly release: Release;
  readonly items: Items;
  readonly store: Store;
  readonly settings: CommonSettings;
  /** For histories, logs and requests. */
  readonly folder: string;
  readonly protoset: string;
  readonly ghz: string;
  readonly cores: CoreSplit | undefined;
  readonly progress: (line: string) => void;
  /** Once aborted, nothing more is begun. */
  readonly cut: AbortSignal;
  /** What a reader should know of how it went. */
  readonly note: (sentence: string) => void;
  /** Of a load that another run may still get done. */
  readonly missed: (sentence: string) => void;
}

interface Todo {
  readonly round: number;
  readonly planned: PlannedLoad;
  readonly system: SystemName;
  readonly key: string;
}

/** Measures what of a bed is not measured yet. Systems start once and stay for all its rounds; they take turns, so that what the machine does hits all. */
export async function runBed(bed: Bed, ground: Ground): Promise<void> {
  const todo = todoOf(bed, ground);
  const alone = bed.alone ? roundsOf(bed).filter((round) => !ground.store.has(pureKey(bed, ground, round))) : [];
  if (ground.cut.aborted || (todo.length === 0 && alone.length === 0)) return;
  ground.progress(`${bed.title}: ${todo.length} loads`);
  const wanted = bed.systems.filter((name) => todo.some(({ system }) => system === name));
  const compute = alone.length > 0 ? await openCompute(bed, ground) : undefined;
  const running = new Map<SystemName, RunningSystem>();
  try {
    for (const name of wanted) await start(name, bed, ground, running);
    for (const round of roundsOf(bed)) {
      if (compute && alone.includes(round)) await timeAlone(bed, ground, round, compute, running.get('A'));
      for (const job of todo.filter((one) => one.round === round)) {
        const system = running.get(job.system);
        if (ground.cut.aborted) return;
        if (system) await measure(job, system, bed, ground);
      }
    }
  } finally {
    await compute?.close();
    await Promise.all([...running.values()].map((system) => system.stop()));
  }
}

const roundsOf = ({ rounds }: Bed) => Array.from({ length: rounds }, (_, i) => i + 1);

/** Of each round every load, and of each load every system, each round beginning with another. */
function todoOf(bed: Bed, ground: Ground): Todo[] {
  return roundsOf(bed).flatMap((round) =>
    bed.loads.flatMap((planned) => {
      const systems = bed.systems.filter((name) => planned.systems?.includes(name) ?? true);
      const turned = systems.map((_, i) => systems[(i + round) % systems.length]!);
      return turned
        .map((system) => ({
          round,
          planned,
          system,
          key: ground.store.keyOf(subjectOf(bed, ground, { round, planned, system })),
        }))
        .filter(({ key }) => !ground.store.has(key));
    }),
  );
}

function subjectOf(bed: Bed, { release }: Ground, { round, planned, system }: Omit<Todo, 'key'>): Subject {
  const { load, sweep, candidates } = planned;
  const shape = { ...bed.shape, k: candidates ?? bed.shape.k };
  return { kind: 'measurement', release: release.manifest.id, shape, round, system, load, ...(sweep && { sweep }) };
}

const pureKey = ({ shape }: Bed, { store, release }: Ground, round: number) =>
  store.keyOf({ kind: 'pure', release: release.manifest.id, shape, round });

function openCompute({ shape }: Bed, { release, items, settings }: Ground): Promise<ShapeCompute> {
  return ShapeCompute.open(release, items, shape, { queries: 2, threads: Number(settings.ONEPASS_INFERENCE_THREADS) });
}

/** One that cannot be started is left out, and that is said: the others are worth having. */
async function start(
  name: SystemName,
  bed: Bed,
  ground: Ground,
  running: Map<SystemName, RunningSystem>,
): Promise<void> {
  const { releaseDir, settings, progress, note } = ground;
  progress(`starting ${name}`);
  const folder = join(ground.folder, `${bed.title.replaceAll(/\W+/g, '-')}`);
  await mkdir(folder, { recursive: true });
  const kvMiB = kvMiBOf(bed, { ...bed.shape, n: ground.release.manifest.model.window });
  const options = { releaseDir, kvMiB, folder, cells: bed.cells, settings };
  try {
    const system = await (isMonolith(name) ? startMonolith(name, options) : startSystem(name, options));
    running.set(name, system);
    await prepareSystem(system, ground, pageFor(bed, ground), { people: bed.people, length: bed.shape.n });
    await heat(system, bed, ground);
  } catch (thrown) {
    const error = OnepassError.from(thrown);
    if (error.kind !== 'startup') throw thrown;
    await running.get(name)?.stop();
    running.delete(name);
    note(`${name} was not measured at ${bed.title}: ${error.message}.`);
  }
}

async function heat(system: RunningSystem, bed: Bed, ground: Ground): Promise<void> {
  const load = { kind: 'closed', concurrency: CHAIN_CONCURRENCY } as const;
  const target = gatewayTarget(system.address, () => system.pids());
  await sendLoad(load, target, { ...optionsOf({ load }, bed, ground, 1), seconds: bed.heatSeconds });
}

const pageFor = ({ shape }: Bed, { release }: Ground, candidates = shape.k): MeasuredPage => ({
  ...pageOf(release),
  candidates,
});

const GATEWAY_PAGES = 100;

/** The graphs with every system idle, then the gateway's own time. */
async function timeAlone(
  bed: Bed,
  ground: Ground,
  round: number,
  compute: ShapeCompute,
  a: RunningSystem | undefined,
): Promise<void> {
  const { store, release, progress } = ground;
  progress(`round ${round} of ${bed.rounds}: the graphs alone`);
  await store.append(
    'pure',
    pureKey(bed, ground, round),
    await compute.measure(round, { calls: 200, seconds: 2 * bed.seconds }),
  );
  if (a === undefined) return;
  const beyond = await gatewayTimes(a, pageFor(bed, ground), { people: bed.people, pages: GATEWAY_PAGES });
  const subject = { release: release.manifest.id, shape: bed.shape, round };
  const key = store.keyOf({ kind: 'gateway', ...subject });
  await store.append('gateway', key, { date: today(), round, shape: bed.shape, p50Ms: median(beyond) });
  const chain = { date: today(), round, shape: bed.shape, cpuMs: await chainCpuMs(bed, ground, a) };
  await store.append('chain', store.keyOf({ kind: 'chain', ...subject }), chain);
}

/** What the messages of A's page cost alone. */
async function chainCpuMs(bed: Bed, ground: Ground, { addresses }: RunningSystem): Promise<number> {
  const chain = await BareChain.open(addresses ?? {}, ground.release, pageFor(bed, ground));
  try {
    const load = { kind: 'closed', concurrency: CHAIN_CONCURRENCY } as const;
    const target = { address: chain.address, pids: () => chain.pids(), degraded: async () => 0 };
    const { cpuMs } = await sendLoad(load, target, {
      ...optionsOf({ load }, bed, ground, 1),
      warmUpSeconds: bed.heatSeconds,
    });
    return Object.values(cpuMs).reduce((sum, ms) => sum + ms, 0);
  } finally {
    await chain.close();
  }
}

async function measure(
  { round, planned, system: name, key }: Todo,
  system: RunningSystem,
  bed: Bed,
  ground: Ground,
): Promise<void> {
  const { store, progress, note, missed } = ground;
  const { load, sweep, candidates } = planned;
  const target = gatewayTarget(system.address, () => system.pids());
  const sent = await sendLoad(load, target, optionsOf(planned, bed, ground, round));
  const { seen } = sent;
  const measurement: Measurement = {
    key,
    date: today(),
    round,
    system: name,
    shape: { ...bed.shape, k: candidates ?? bed.shape.k },
    load,
    ...(sweep && { sweep }),
    seen,
    cpuMs: sent.cpuMs,
    residentMiB: residentOf(system),
    kv: sent.kv,
    kvMiB: system.kvMiB,
  };
  progress(
    `round ${round}, ${loadTold(planned)}, ${name}: ${seen.goodput.toFixed(1)} whole pages/s, p50 ${seen.latencyMs.p50.toFixed(1)} ms`,
  );
  for (const sentence of sent.notes) note(`${name}, ${loadTold(planned)}: ${sentence}.`);
  if (sent.cutShort === undefined) await store.append('measurement', key, measurement);
  else missed(`${name}, ${loadTold(planned)}, round ${round} was cut short and left out: ${sent.cutShort}.`);
}

function optionsOf(planned: PlannedLoad, bed: Bed, ground: Ground, round: number): LoadOptions {
  const { release, items, folder, protoset, ghz, cores } = ground;
  const { candidates, returning, actionsPerPage } = planned;
  const { seconds, warmUpSeconds, people } = bed;
  const page = pageFor(bed, ground, candidates);
  const trace = {
    // Every system gets the same trace; another round another one.
    seed: round,
    habits: habitsOf(release, page),
    itemIds: items.ids,
    surfaces: release.manifest.vocabulary.surfaces,
    queries: [],
    parameters: {
      ...(returning !== undefined && { returning }),
      ...(actionsPerPage !== undefined && { actionsPerPage }),
    },
  };
  const order =
    planned.load.kind === 'closed' && returning !== undefined ? visits(returning, people, round) : undefined;
  return { seconds, warmUpSeconds, people, page, folder, protoset, ghz, cores, trace, ...(order && { order }) };
}

/** Whose page is asked for, thousands of times, so that ghz does not come round in one load. */
function visits(returning: number, people: number, seed: number): readonly number[] {
  const plain = { joining: 0, surfaces: { related: 0, search: 0 } };
  return visitsOf(makeTrace({ ...usualTrace(), ...plain, seed, qps: 50, durationMs: 80_000, people, returning }));
}

const residentOf = (system: RunningSystem) =>
  Object.fromEntries(Object.entries(system.pids()).map(([role, pid]) => [role, residentMiB(pid)]));

function loadTold({ load, sweep }: PlannedLoad): string {
  const told = { closed: 'closed', open: 'open', trace: 'trace' }[load.kind];
  const much = load.kind === 'closed' ? `c=${load.concurrency}` : `${load.qps}/s`;
  return `${told} ${much}${sweep ? `, ${sweep.name}=${sweep.value}` : ''}`;
}

const today = () => new Date().toISOString().slice(0, 10);

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { OnepassError } from '@onepass/errors';
import { residentMiB } from '../../machine.js';
import { crossCheck, describeCrossCheck, gatewayTarget, sendLoad } from '../load/index.js';
import type { Measurement, SystemName } from '../measurements.js';
import { isMonolith, startMonolith } from '../monolith/monolith.js';
import { CHAIN_CONCURRENCY, type Subject } from '../report/index.js';
import type { RunningSystem } from '../systems/running-system.js';
import { startSystem } from '../systems/systems.js';
import { Alone, roundsToTimeAlone } from './alone.js';
import { type Ground, optionsOf, pageFor, today } from './ground.js';
import { kvMiBOf } from './memory.js';
import { type Bed, type PlannedLoad, roundsOf } from './plan.js';
import { prepareSystem } from './prepare.js';

interface Todo {
  readonly round: number;
  readonly planned: PlannedLoad;
  readonly system: SystemName;
  readonly key: string;
}

/** Measures what of a bed is not measured yet. Systems start once and stay for all its rounds; they take turns, so that what the machine does hits all. */
export async function runBed(bed: Bed, ground: Ground): Promise<void> {
  const todo = todoOf(bed, ground);
  const roundsAlone = roundsToTimeAlone(bed, ground);
  const checkedAt = ground.store.has(crossCheckKey(bed, ground)) ? undefined : bed.crossCheckQps;
  if (ground.cut.aborted) return;
  const wanted = bed.systems.filter(
    (name) =>
      todo.some(({ system }) => system === name) ||
      (name === 'A' && (roundsAlone.length > 0 || checkedAt !== undefined)),
  );
  if (wanted.length === 0 && roundsAlone.length === 0) return;
  ground.progress(`${bed.title}: ${todo.length} loads`);
  const running = new Map<SystemName, RunningSystem>();
  let alone: Alone | undefined;
  try {
    for (const name of wanted) await start(name, bed, ground, running);
    const a = running.get('A');
    if (checkedAt !== undefined && a) await compareSenders(checkedAt, a, bed, ground);
    if (roundsAlone.length > 0) alone = await Alone.open(bed, ground, a);
    for (const round of roundsOf(bed)) {
      if (roundsAlone.includes(round)) await alone?.measure(round);
      for (const job of todo.filter((one) => one.round === round)) {
        const system = running.get(job.system);
        if (ground.cut.aborted) return;
        if (system) await measure(job, system, bed, ground);
      }
    }
  } finally {
    await alone?.close();
    await Promise.all([...running.values()].map((system) => system.stop()));
  }
}

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
    const { people, shape, slots } = bed;
    await prepareSystem(system, ground.release, pageFor(bed, ground), {
      people,
      length: shape.n,
      warm: Math.min(people, slots),
      items: ground.items,
    });
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
  await sendLoad(load, targetOf(system), { ...optionsOf({ load }, bed, ground, 1), seconds: bed.heatSeconds });
}

const targetOf = (system: RunningSystem) => gatewayTarget(system.address, system.pids);

const crossCheckKey = ({ shape }: Bed, { store, release }: Ground) =>
  store.keyOf({ kind: 'crossCheck', release: release.manifest.id, shape });

/** Every page of a run says what the two senders saw of the same. */
async function compareSenders(qps: number, system: RunningSystem, bed: Bed, ground: Ground): Promise<void> {
  ground.progress('the same load from both senders');
  const load = { kind: 'open', qps } as const;
  const told = describeCrossCheck(await crossCheck(qps, targetOf(system), optionsOf({ load }, bed, ground, 1)));
  ground.progress(told);
  await ground.store.append('crossCheck', crossCheckKey(bed, ground), { date: today(), told });
}

async function measure(
  { round, planned, system: name, key }: Todo,
  system: RunningSystem,
  bed: Bed,
  ground: Ground,
): Promise<void> {
  const { store, progress, note, missed } = ground;
  const { load, sweep, candidates } = planned;
  const sent = await sendLoad(load, targetOf(system), optionsOf(planned, bed, ground, round));
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

const residentOf = (system: RunningSystem) =>
  Object.fromEntries(Object.entries(system.pids()).map(([role, pid]) => [role, residentMiB(pid)]));

function loadTold({ load, sweep }: PlannedLoad): string {
  const told = { closed: 'closed', open: 'open', trace: 'trace' }[load.kind];
  const much = load.kind === 'closed' ? `c=${load.concurrency}` : `${load.qps}/s`;
  return `${told} ${much}${sweep ? `, ${sweep.name}=${sweep.value}` : ''}`;
}

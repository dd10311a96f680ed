import { seededRandom } from '@onepass/contracts';
import { type KvShape, kvShape } from '@onepass/kv';
import type { Release } from '@onepass/release';
import { makeTrace, type TraceParameters } from '../../kit/load/index.js';
import { SimClock } from '../sim/clock.js';
import { ServiceDraw } from '../sim/draw.js';
import { Machine } from '../sim/machine.js';
import { SimMesh } from '../sim/mesh.js';
import { replayTrace, type SeenAt, SimPeople, type Told, toldOf } from '../sim/replay-trace.js';
import type { ServiceTimes } from '../sim/service-times.js';
import type { MeshTold, RealLoads } from './loads.js';

export interface PredictTerms {
  readonly release: Pick<Release, 'manifest'>;
  readonly times: ServiceTimes;
  readonly told: MeshTold;
  /** The loads, one after the other; what is held goes on from one to the next. */
  readonly loads: readonly TraceParameters[];
  /** Actions in everybody's history before. */
  readonly length: number;
  readonly seed: number;
}

/** What pages would take: by load, every page. The same seed, the same answer. */
export async function predict({ release, times, told, loads, length, seed }: PredictTerms): Promise<SeenAt[][]> {
  const clock = new SimClock();
  const machine = new Machine(clock, { cores: times.machine.cores, busySpeed: times.busySpeed });
  const { model } = release.manifest;
  const shape: KvShape = kvShape(model);
  const { cells, ...rest } = told;
  const hosts = [{ machine, cells, gateways: 1, retrievals: 1 }];
  const mesh = new SimMesh(
    clock,
    { ...rest, shape, window: model.window, hosts, client: machine },
    new ServiceDraw(times, seededRandom(seed)),
  );
  const people = new SimPeople(length);
  const seen: SeenAt[][] = [];
  for (const [load, parameters] of loads.entries()) {
    seen.push(await replayTrace(makeTrace(parameters), { clock, mesh, people, known: parameters.people, load }));
  }
  return seen;
}

export interface PredictLoadsTerms {
  readonly release: PredictTerms['release'];
  readonly times: ServiceTimes;
  readonly seeds: readonly number[];
}

/** What is told of the same loads simulated, of each the mean over all seeds. */
export async function predictLoads(
  { told, traces, windows, length }: Omit<RealLoads, 'seen'>,
  { release, times, seeds }: PredictLoadsTerms,
): Promise<Told[]> {
  const bySeed: Told[][] = [];
  for (const seed of seeds) {
    const seen = await predict({ release, times, told, loads: traces, length, seed });
    bySeed.push(seen.map((pages, load) => toldOf(pages, windows[load]!)));
  }
  return traces.map((_, load) => meanTold(bySeed.map((loads) => loads[load]!)));
}

/** Of the same load several times; the pages are those of all. */
export function meanTold(all: readonly Told[]): Told {
  const sum = (of: (told: Told) => number) => all.reduce((total, told) => total + of(told), 0);
  const mean = (of: (told: Told) => number) => sum(of) / all.length;
  return {
    pages: sum(({ pages }) => pages),
    held: mean(({ held }) => held),
    p50Ms: mean(({ p50Ms }) => p50Ms),
    p99Ms: mean(({ p99Ms }) => p99Ms),
    refused: mean(({ refused }) => refused),
    late: mean(({ late }) => late),
  };
}

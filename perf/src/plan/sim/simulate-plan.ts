import { seededRandom } from '@onepass/contracts';
import type { KvShape } from '@onepass/kv';
import { cellOrder } from '@onepass/routing';
import { exponential } from '../../kit/load/gaps.js';
import { personId } from '../../people.js';
import type { Visits } from '../visits.js';
import { SimClock } from './clock.js';
import { ServiceDraw } from './draw.js';
import { Machine } from './machine.js';
import { SimMesh } from './mesh.js';
import { type SeenAt, SimPeople, type Told, toldOf } from './replay-trace.js';
import type { ServiceTimes } from './service-times.js';

export interface PlanTerms {
  readonly times: ServiceTimes;
  readonly shape: KvShape;
  readonly window: number;
  readonly visits: Visits;
  readonly cells: number;
  /** Of each cell, as many people as the visits are a sample of. */
  readonly slotsPerCell: number;
  readonly cores: number;
  readonly inFlight: number;
  /** Processes on each cell's machine. */
  readonly gateways: number;
  readonly retrievals: number;
  /** Pages a second at the peak. */
  readonly qps: number;
  readonly budgetMs: number;
  /** Pages that are timed in each case. */
  readonly pages: number;
  readonly seed: number;
}

/** At the peak; with a cell lost just now; and with nothing held, as in the first moments of a promotion. */
export const CASES = ['peak', 'lost', 'promotion'] as const;
export type PlanCase = (typeof CASES)[number];

export interface CaseTold extends Told {
  /** Shares of the time: of all cores, and of the event loop that is busiest. */
  readonly coresBusy: number;
  readonly busiestLoop: number;
  readonly busiestProcess: string;
}

/** Cells are alike: more of them would only take longer. */
const MOST_CELLS = 8;
/** Share of a case's pages before what counts: until queues are as long as they get. */
const SETTLING = 0.2;

/**
 * What pages take at the peak. Who comes, and whom that finds held, is a sample: a sampled person stands for many, and so does a slot. When they come is
 * not: pages come at the peak's full rate, by chance. So how long somebody stays away is not the case's own time, and two pages of one person at one
 * time are nobody's. Of many cells some stand for all.
 */
export async function simulateCase(which: PlanCase, terms: PlanTerms): Promise<CaseTold> {
  const cells = Math.min(terms.cells, MOST_CELLS);
  const random = seededRandom(terms.seed);
  const clock = new SimClock();
  const mesh = meshOf(clock, { ...terms, cells }, random);
  const { persons, counted } = terms.visits;
  const people = new SimPeople(terms.times.historyLength);
  const homes = homesOf(mesh.names);
  for (const person of persons.subarray(0, counted)) {
    const one = comes(people, person);
    mesh.cells.get(homes(one.person))!.visit(one.person, one.history);
  }
  const lost = mesh.names[0]!;
  if (which === 'lost') mesh.lose(lost);
  // Who was held where nothing is held now makes a miss, however soon they come again: these are the first moments.
  const cold = (person: string) => which === 'promotion' || (which === 'lost' && homes(person) === lost);
  const qps = (terms.qps * cells) / terms.cells;
  const seen: SeenAt[] = [];
  let atMs = 0;
  for (let page = 0; page < terms.pages; page += 1) {
    atMs += (1000 * exponential(random)) / qps;
    const sentMs = atMs;
    const number = persons[counted + (page % (persons.length - counted))]!;
    clock.at(sentMs, () => {
      const one = comes(people, number);
      const asked = { ...one, cold: () => cold(one.person) };
      void mesh.page(asked).then((told) => seen.push({ ...told, atMs: sentMs }));
    });
  }
  await clock.run();
  return { ...toldOf(seen, { fromMs: SETTLING * atMs, toMs: atMs }), ...busyOf(mesh, clock.now()) };
}

/** One action since their last page. */
function comes(people: SimPeople, person: number) {
  const one = people.of(personId(person));
  one.history.sequence += 1;
  return one;
}

function meshOf(clock: SimClock, terms: PlanTerms, random: () => number): SimMesh {
  const { times, shape, window, cells, slotsPerCell, cores, gateways, retrievals } = terms;
  const hosts = Array.from({ length: cells }, (_, i) => ({
    machine: new Machine(clock, { cores, busySpeed: times.busySpeed }),
    cells: [`cell-${i}`],
    ...{ gateways, retrievals },
  }));
  const { inFlight, budgetMs } = terms;
  // A sampled slot stands for many that people come and go in: resting ones among them are none of the sample.
  const cell = { slots: slotsPerCell, shape, window, inFlight, restMs: 0 };
  return new SimMesh(clock, { ...cell, hosts, budgetMs, client: undefined }, new ServiceDraw(times, random));
}

/** Where each person belongs while no cell has too much to do; found out once. */
function homesOf(names: readonly string[]): (person: string) => string {
  const known = new Map<string, string>();
  return (person) => {
    const home = known.get(person) ?? cellOrder(person, names)[0]!;
    known.set(person, home);
    return home;
  };
}

function busyOf(mesh: SimMesh, ms: number): Pick<CaseTold, 'coresBusy' | 'busiestLoop' | 'busiestProcess'> {
  const loops = mesh.loops().sort((a, b) => b.loop.workMs - a.loop.workMs);
  const { process, loop } = loops[0]!;
  const busy = mesh.machines.reduce((sum, machine) => sum + machine.busyMs, 0);
  return {
    coresBusy: busy / ms / (mesh.machines.length * mesh.machines[0]!.cores),
    busiestLoop: loop.workMs / ms,
    busiestProcess: process,
  };
}

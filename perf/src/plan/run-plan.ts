import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { kvShape } from '@onepass/kv';
import { repositoryRoot, runCommand } from '@onepass/local';
import { loadRelease, openItems, type Release } from '@onepass/release';
import type { Shape } from '../kit/measurements.js';
import { slotMiB } from '../kit/shape/memory.js';
import { budgetMsOf } from '../kit/systems/systems.js';
import { describeMachine } from '../machine.js';
import { servedShape } from '../page.js';
import { table } from '../table.js';
import { type Demand, type Plan, planCells } from './cells.js';
import { loopMsOf, measureCosts } from './costs.js';
import { heldShare, optimalShare } from './hit-rate.js';
import { HELP, type PlanOptions, parsePlanOptions } from './options.js';
import { measureCommand, validateCommand } from './real-commands.js';
import { readServiceTimes, type ServiceTimes } from './sim/service-times.js';
import { CASES, type CaseTold, type PlanCase, simulateCase } from './sim/simulate-plan.js';
import { tellCases } from './tell-cases.js';
import { beyond, readRange, SERVICE_TIMES } from './validate/compare.js';
import { sampleVisits, type Visits } from './visits.js';

/** Of the day's average, as `usualTrace` has it. */
const PEAK = 1.25;
const SMOKE = { pages: 5_000, seconds: 0.2, timed: 300 };
const FULL = { pages: 200_000, seconds: 6, timed: 12_000 };

const progress = (line: string) => console.log(`  ${line}`);

/** @returns the exit code */
export function runPlan(args: readonly string[]): Promise<number> {
  return runCommand(async () => {
    const command = parsePlanOptions(args);
    if (command === 'help') console.log(HELP);
    else if (command.kind === 'plan') console.log(await plan(command.options));
    else if (command.kind === 'measure') console.log(await measureCommand(command.file, command.options, progress));
    else console.log(await validateCommand(command.options, progress));
    return 0;
  });
}

async function plan(options: PlanOptions): Promise<string> {
  const { people, qps, cores, kvGiB, busiest, smoke } = options;
  const effort = smoke ? SMOKE : FULL;
  const release = await loadRelease(options.releaseDir ?? join(repositoryRoot, 'releases', 'default'));
  const shape = servedShape(release);
  const times = await timesOf(release);
  const visits = sampleVisits({ people, qps: qps / PEAK, seed: 1 }, effort.pages);
  progress(`timing the graphs of ${release.id} for ${effort.seconds} s ...`);
  const timed = await measureCosts(release, await openItems(release), shape, effort.seconds);
  const costs = times === undefined ? timed : { ...timed, loop: loopMsOf(times) };
  const cell = { cores, slots: Math.floor((kvGiB * 1024) / slotMiB(shape)) };
  const sampled = sampledSlots(visits);
  const demand: Demand = { qps, costs, cell, busiest, heldAt: heldAt(visits, sampled) };
  progress('trying numbers of cells ...');
  const found = planCells(demand);
  if (found === undefined) throw startupError(`no number of cells of ${cores} cores carries ${qps} pages a second`);
  const told = tell(found, demand, {
    options,
    shape,
    releaseId: release.id,
    optimum: optimalShare(visits, sampled(found.slots)),
  });
  const simulated =
    times === undefined
      ? [`Not simulated: the service times of this release are not measured (npm run plan -- --measure FILE).`]
      : await simulate(found, times, { options, release, visits, timed: effort.timed, slots: sampled(found.slots) });
  const end = smoke ? ['', 'A smoke run shows that it works; its numbers mean nothing.'] : [];
  return `\n${[...told, '', ...simulated, ...end].join('\n')}`;
}

/** Those that were measured of this release; undefined: of none, or another. */
async function timesOf({ id }: Release): Promise<ServiceTimes | undefined> {
  if (!existsSync(SERVICE_TIMES)) return undefined;
  const times = await readServiceTimes(SERVICE_TIMES);
  return times.release === id ? times : undefined;
}

/** Slots of the sample that stand for so many: at least one, and no more than there are people. */
function sampledSlots({ persons, scale }: Visits): (slots: number) => number {
  const distinct = new Set(persons).size;
  return (slots) => Math.min(distinct, Math.max(1, Math.round(slots / scale)));
}

/** The same number is asked for again while cells are tried. */
function heldAt(visits: Visits, sampled: (slots: number) => number): (slots: number) => number {
  const known = new Map<number, number>();
  return (slots) => {
    const share = known.get(sampled(slots)) ?? heldShare(visits, sampled(slots));
    known.set(sampled(slots), share);
    return share;
  };
}

interface Simulated {
  readonly options: PlanOptions;
  readonly release: Release;
  readonly visits: Visits;
  readonly timed: number;
  /** Of all cells, of the sample. */
  readonly slots: number;
}

async function simulate(
  found: Plan,
  times: ServiceTimes,
  { options, release, visits, timed, slots }: Simulated,
): Promise<string[]> {
  const { qps, cores, inFlight, busiest } = options;
  const { model } = release.manifest;
  // As many processes of each kind as keep their event loops as idle as the cores.
  const processes = (loopMs: number) => Math.max(1, Math.ceil((qps * loopMs) / 1000 / (found.cells - 1) / busiest));
  const mean = (of: 'gateway' | 'retrieval') =>
    times.pages.reduce((sum, page) => sum + page[of], 0) / times.pages.length;
  const terms = {
    ...{ times, shape: kvShape(model), window: model.window, visits, cores, inFlight, qps },
    ...{ cells: found.cells, slotsPerCell: Math.max(4, Math.round(slots / found.cells)) },
    ...{ gateways: processes(mean('gateway')), retrievals: processes(mean('retrieval')) },
    ...{ budgetMs: budgetMsOf(servedShape(release)), pages: timed, seed: 1 },
  };
  const cases: [PlanCase, CaseTold][] = [];
  for (const name of CASES) {
    progress(`simulating ${name} ...`);
    cases.push([name, await simulateCase(name, terms)]);
  }
  const range = await readRange();
  const { cpu } = times.machine;
  const qpsPerCore = qps / found.cells / cores;
  const planned = { cpu, cores, release: release.id, cells: found.cells, slots: found.slots, qpsPerCore };
  const outside = range === undefined ? ['everything: nothing was compared yet'] : beyond(range, planned);
  return [
    ...tellCases(cases),
    '',
    `Each cell's machine has ${terms.gateways} gateways and ${terms.retrievals} retrievals beside its user-encoder and ranking, each of which makes up to ${inFlight} graph runs at a time.`,
    ...(outside.length === 0 ? [] : [`Extrapolated: ${outside.join('; ')}.`]),
  ];
}

interface Told {
  readonly options: PlanOptions;
  readonly shape: Shape;
  /** The most that anybody could hold. */
  readonly optimum: number;
  readonly releaseId: string;
}

function tell(found: Plan, { costs, cell }: Demand, { options, shape, optimum, releaseId }: Told): string[] {
  const { people, qps, cores, kvGiB, busiest } = options;
  const { cpu } = describeMachine();
  const whole = (number: number) => Math.round(number).toLocaleString('en-US');
  const share = (number: number) => `${(100 * number).toFixed(0)}%`;
  const ms = (number: number) => number.toFixed(1);
  const { loopBusyWithOneLost: loop } = found;
  const rows = [
    ['cells, one of which may be lost', whole(found.cells)],
    ['what binds', found.binding],
    ['KV memory', `${whole(found.cells * kvGiB)} GiB, ${whole(found.slots)} people`],
    ['pages whose person is held', `${share(found.held)} (the most that anybody could: ${share(optimum)})`],
    ['CPU of a page', `${ms(found.pageMs)} ms, ${ms(found.missMs)} of them for KV that is not held`],
    ['cores in use at the peak', `${share(found.busy)}, with one cell lost ${share(found.busyWithOneLost)}`],
    ...(loop === undefined ? [] : [["busiest of a cell's event loops, with one cell lost", share(loop)]]),
    [
      'a lost cell',
      `${whole(found.moved)} people's KV is made anew, ${whole((found.moved * costs.encodeAll) / 1000)} core-seconds`,
    ],
    [
      'a promotion',
      `${whole(found.slots)} people's KV, ${whole(found.promotionCoreSeconds)} core-seconds: ${whole(found.promotionSeconds)} s on what the peak leaves`,
    ],
  ];
  return [
    `${whole(people)} people, ${whole(qps)} pages a second at the peak, cells of ${cores} cores and ${kvGiB} GiB for KV (${whole(cell.slots)} people each), at most ${share(busiest)} busy:`,
    '',
    ...table(['planned', 'value'], rows),
    '',
    `Release ${releaseId} (n=${shape.n}, k=${shape.k}, L=${shape.layers}, d=${shape.width}), graphs timed on this machine (${cpu}): all of a history ${ms(costs.encodeAll)} ms, one action ${ms(costs.append)} ms, the rest of a page ${ms(costs.rest)} ms.`,
    'Extrapolated: from the cost of one page on this machine, and from assumed laws of when people come back.',
  ];
}

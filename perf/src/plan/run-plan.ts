import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { repositoryRoot, runCommand } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import type { Shape } from '../kit/measurements.js';
import { slotMiB } from '../kit/shape/memory.js';
import { describeMachine } from '../machine.js';
import { servedShape } from '../page.js';
import { table } from '../table.js';
import { type Demand, type Plan, planCells } from './cells.js';
import { measureCosts } from './costs.js';
import { heldShare, optimalShare } from './hit-rate.js';
import { HELP, type PlanOptions, parsePlanOptions } from './options.js';
import { sampleVisits, type Visits } from './visits.js';

/** Of the day's average, as `usualTrace` has it. */
const PEAK = 1.25;
const SMOKE = { pages: 5_000, seconds: 0.2 };
const FULL = { pages: 200_000, seconds: 6 };

/** @returns the exit code */
export function runPlan(args: readonly string[]): Promise<number> {
  return runCommand(async () => {
    const options = parsePlanOptions(args);
    console.log(options === 'help' ? HELP : await plan(options));
    return 0;
  });
}

async function plan(options: PlanOptions): Promise<string> {
  const { people, qps, cores, kvGiB, busiest, smoke } = options;
  const effort = smoke ? SMOKE : FULL;
  const release = await loadRelease(options.releaseDir ?? join(repositoryRoot, 'releases', 'default'));
  const shape = servedShape(release);
  const visits = sampleVisits({ people, qps: qps / PEAK, seed: 1 }, effort.pages);
  console.log(`  timing the graphs of ${release.id} for ${effort.seconds} s ...`);
  const costs = await measureCosts(release, await openItems(release), shape, effort.seconds);
  const cell = { cores, slots: Math.floor((kvGiB * 1024) / slotMiB(shape)) };
  const sampled = sampledSlots(visits);
  const demand: Demand = { qps, costs, cell, busiest, heldAt: heldAt(visits, sampled) };
  console.log('  trying numbers of cells ...');
  const found = planCells(demand);
  if (found === undefined) throw startupError(`no number of cells of ${cores} cores carries ${qps} pages a second`);
  return tell(found, demand, {
    ...{ options, shape, releaseId: release.id },
    optimum: optimalShare(visits, sampled(found.slots)),
  });
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

interface Told {
  readonly options: PlanOptions;
  readonly shape: Shape;
  /** The most that anybody could hold. */
  readonly optimum: number;
  readonly releaseId: string;
}

function tell(found: Plan, { costs, cell }: Demand, { options, shape, optimum, releaseId }: Told): string {
  const { people, qps, cores, kvGiB, busiest, smoke } = options;
  const { cpu } = describeMachine();
  const whole = (number: number) => Math.round(number).toLocaleString('en-US');
  const share = (number: number) => `${(100 * number).toFixed(0)}%`;
  const ms = (number: number) => number.toFixed(1);
  const rows = [
    ['cells, one of which may be lost', whole(found.cells)],
    ['what binds', found.binding],
    ['KV memory', `${whole(found.cells * kvGiB)} GiB, ${whole(found.slots)} people`],
    ['pages whose person is held', `${share(found.held)} (the most that anybody could: ${share(optimum)})`],
    ['CPU of a page', `${ms(found.pageMs)} ms, ${ms(found.missMs)} of them for KV that is not held`],
    ['cores in use at the peak', `${share(found.busy)}, with one cell lost ${share(found.busyWithOneLost)}`],
    [
      'a lost cell',
      `${whole(found.moved)} people's KV is made anew, ${whole((found.moved * costs.encodeAll) / 1000)} core-seconds`,
    ],
    [
      'a promotion',
      `${whole(found.slots)} people's KV, ${whole(found.promotionCoreSeconds)} core-seconds: ${whole(found.promotionSeconds)} s on what the peak leaves`,
    ],
  ];
  const lines = [
    `${whole(people)} people, ${whole(qps)} pages a second at the peak, cells of ${cores} cores and ${kvGiB} GiB for KV (${whole(cell.slots)} people each), at most ${share(busiest)} busy:`,
    '',
    ...table(['planned', 'value'], rows),
    '',
    `Release ${releaseId} (n=${shape.n}, k=${shape.k}, L=${shape.layers}, d=${shape.width}), graphs timed on this machine (${cpu}): all of a history ${ms(costs.encodeAll)} ms, one action ${ms(costs.append)} ms, the rest of a page ${ms(costs.rest)} ms.`,
    'Extrapolated: from the cost of one page on this machine, and from assumed laws of when people come back.',
    ...(smoke ? ['A smoke run shows that it works; its numbers mean nothing.'] : []),
  ];
  return `\n${lines.join('\n')}`;
}

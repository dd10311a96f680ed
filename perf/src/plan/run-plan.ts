import { join } from 'node:path';
import { OnepassError, startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import type { Shape } from '../kit/measurements.js';
import { slotMiB } from '../kit/shape/memory.js';
import { describeMachine } from '../machine.js';
import { pageOf } from '../page.js';
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
export async function runPlan(args: readonly string[]): Promise<number> {
  try {
    const options = parsePlanOptions(args);
    if (options === 'help') console.log(HELP);
    else console.log(await plan(options));
    return 0;
  } catch (thrown) {
    const error = OnepassError.from(thrown);
    console.error(error.message);
    if (error.kind === 'internal') console.error(error.cause);
    return 1;
  }
}

async function plan(options: PlanOptions): Promise<string> {
  const { people, qps, cores, kvGiB, busiest, smoke } = options;
  const effort = smoke ? SMOKE : FULL;
  const release = await loadRelease(options.releaseDir ?? join(repositoryRoot, 'releases', 'default'));
  const { window, layers, width } = release.manifest.model;
  const shape: Shape = { n: window, k: pageOf(release).candidates, layers, width };
  const visits = sampleVisits({ people, qps: qps / PEAK, seed: 1 }, effort.pages);
  console.log(`  timing the graphs of ${release.id} for ${effort.seconds} s ...`);
  const costs = await measureCosts(release, await openItems(release), shape, effort.seconds);
  const cell = { cores, slots: Math.floor((kvGiB * 1024) / slotMiB(shape)) };
  const demand: Demand = { qps, costs, cell, busiest, heldAt: heldAt(visits) };
  console.log('  trying numbers of cells ...');
  const found = planCells(demand);
  if (found === undefined) throw startupError(`no number of cells of ${cores} cores carries ${qps} pages a second`);
  return tell(found, demand, { options, shape, visits, releaseId: release.id });
}

/** The same number is asked for again while cells are tried. */
function heldAt(visits: Visits): (slots: number) => number {
  const known = new Map<number, number>();
  const distinct = new Set(visits.persons).size;
  return (slots) => {
    const sampled = slotsOf(visits, slots, distinct);
    const share = known.get(sampled) ?? heldShare(visits, sampled);
    known.set(sampled, share);
    return share;
  };
}

const slotsOf = ({ scale }: Visits, slots: number, distinct: number) =>
  Math.min(distinct, Math.max(1, Math.round(slots / scale)));

interface Told {
  readonly options: PlanOptions;
  readonly shape: Shape;
  readonly visits: Visits;
  readonly releaseId: string;
}

function tell(found: Plan, { costs, cell }: Demand, { options, shape, visits, releaseId }: Told): string {
  const { people, qps, cores, kvGiB, busiest, smoke } = options;
  const { cpu } = describeMachine();
  const whole = (number: number) => Math.round(number).toLocaleString('en-US');
  const share = (number: number) => `${(100 * number).toFixed(0)}%`;
  const ms = (number: number) => number.toFixed(1);
  const optimum = optimalShare(visits, slotsOf(visits, found.slots, new Set(visits.persons).size));
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

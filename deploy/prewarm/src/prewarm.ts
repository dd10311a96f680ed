import type { Transport } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import type { ActivePerson, OpenHistoryStore } from '@onepass/history';
import type { Release } from '@onepass/release';
import { cellOrder } from '@onepass/routing';
import { type Calibration, type Cost, calibrationOf, costOf, mostBytes } from './cost.js';
import { EncoderCell } from './encoder-cell.js';
import type { PrewarmOptions } from './options.js';
import { ActiveLast, thatFit } from './people.js';
import { Tally, WarmCell } from './warm-cell.js';

export type PrewarmAsk = Pick<
  PrewarmOptions,
  'cells' | 'cell' | 'activeWithinMs' | 'rate' | 'inFlight' | 'most' | 'dryRun'
>;

export interface PrewarmParts {
  readonly history: OpenHistoryStore;
  /** What names it, for a sentence. */
  readonly historyName: string;
  readonly release: Release;
  readonly transport: Transport;
  /** Ends the work when it is aborted. */
  readonly signal: AbortSignal;
  /** Told in this order, `progress` now and then. */
  readonly tell: PrewarmTelling;
}

export interface PrewarmTelling {
  chosen(cell: EncoderCell, people: { readonly chosen: number; readonly active: number }): void;
  calibrated(calibration: Calibration): void;
  cost(cost: Cost): void;
  progress(done: number, people: number): void;
}

export interface PrewarmReport {
  readonly people: number;
  readonly tally: Tally;
  /** From the first encode to the last. */
  readonly seconds: number;
  /** The signal or `dryRun` ended it before everybody was asked for. */
  readonly ended: 'whole' | 'dry run' | 'interrupted';
}

/** People whose encodes are timed before the others'. */
const TIMED = 20;
const PROGRESS_MS = 10_000;

/** A cell and the people to be encoded there, the one active last at the end. */
interface CellWork {
  readonly warm: WarmCell;
  readonly people: readonly ActivePerson[];
}

/**
 * Encodes the people who were active lately at the cells they belong to. Those active last come last: what is encoded last gives way last.
 * @throws OnepassError `startup` naming the option or the cell; `unavailable` when the history cannot be read, or a cell from the start
 */
export async function prewarm(ask: PrewarmAsk, parts: PrewarmParts): Promise<PrewarmReport> {
  const { release, transport, signal, tell } = parts;
  const asked = ask.cells.filter(({ name }) => ask.cell === undefined || name === ask.cell);
  const opened = await Promise.allSettled(asked.map((cell) => EncoderCell.open(cell, transport, release)));
  const cells = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  try {
    for (const one of opened) if (one.status === 'rejected') throw one.reason;
    const chosen = await peopleOf(cells, ask, parts);
    const tally = new Tally();
    const works = cells.map((cell) => ({
      warm: new WarmCell(cell, tally, { rate: ask.rate, inFlight: ask.inFlight, signal }),
      people: held(cell, chosen.get(cell.name)!.inOrder(), release),
    }));
    for (const { warm, people } of works) {
      tell.chosen(warm.cell, { chosen: people.length, active: chosen.get(warm.cell.name)!.told });
    }
    return await work(works, tally, ask, parts);
  } finally {
    for (const cell of cells) cell.close();
  }
}

/** Active people by cell, at most as many as it holds. */
async function peopleOf(
  cells: readonly EncoderCell[],
  { cells: all, activeWithinMs, most }: PrewarmAsk,
  { history, signal }: PrewarmParts,
): Promise<ReadonlyMap<string, ActiveLast>> {
  const chosen = new Map(cells.map((cell) => [cell.name, new ActiveLast(mostOf(cell, most))]));
  const names = all.map(({ name }) => name);
  for await (const person of history.activePersons(Date.now() - activeWithinMs)) {
    if (signal.aborted) break;
    const [own] = cellOrder(person.person, names);
    chosen.get(own!)?.add(person);
  }
  return chosen;
}

/** Of people those active last that the cell has memory for: more would only take each other's places. */
function held(
  { bytes = Number.POSITIVE_INFINITY, slotBytes }: EncoderCell,
  people: readonly ActivePerson[],
  release: Release,
) {
  const model = { ...release.manifest.model, slotBytes };
  return thatFit(people, (person) => mostBytes(person, model), bytes);
}

function mostOf({ name, holds }: EncoderCell, most: number | undefined): number {
  if (holds === undefined && most === undefined) {
    throw startupError(`the cell ${name} does not say how many people its KV holds: --most N must`);
  }
  return Math.min(holds ?? Number.POSITIVE_INFINITY, most ?? Number.POSITIVE_INFINITY);
}

async function work(
  works: readonly CellWork[],
  tally: Tally,
  ask: PrewarmAsk,
  parts: PrewarmParts,
): Promise<PrewarmReport> {
  const { signal, tell } = parts;
  const started = performance.now();
  const people = works.reduce((sum, cell) => sum + cell.people.length, 0);
  const report = (dryRun = false): PrewarmReport => ({
    people,
    tally,
    seconds: (performance.now() - started) / 1_000,
    ended: signal.aborted ? 'interrupted' : dryRun ? 'dry run' : 'whole',
  });
  if (people === 0) return report();
  const timed = await calibrate(works, ask, parts);
  if (timed === undefined) return report();
  if (ask.dryRun) return report(true);
  const telling = setInterval(() => tell.progress(tally.done, people), PROGRESS_MS);
  try {
    await Promise.all(works.map((cell) => cell.warm.warm(cell.people.filter((person) => !timed.has(person)))));
  } finally {
    clearInterval(telling);
  }
  return report();
}

/**
 * Encodes a few people of all, one at a time, and tells what the whole costs.
 * @returns who they were; undefined = interrupted
 */
async function calibrate(
  works: readonly CellWork[],
  { rate, inFlight }: PrewarmAsk,
  { release, signal, historyName, tell }: PrewarmParts,
): Promise<ReadonlySet<ActivePerson> | undefined> {
  // Cells of one release are alike.
  const model = { ...release.manifest.model, slotBytes: works[0]?.warm.cell.slotBytes };
  const first = someOf(works.flatMap(({ warm, people }) => people.map((person) => ({ warm, person }))));
  const timed = [];
  let known = false;
  for (const { warm, person } of first) {
    try {
      const warmed = await warm.encode(person, signal);
      known ||= warmed?.knowsPerson ?? true;
      if (warmed !== undefined) timed.push({ person, warmed });
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }
  if (!known) {
    throw startupError(
      `the cells know no history of the people in ${historyName}: they read another one, or are of a version that cannot be pre-warmed`,
    );
  }
  const calibration = calibrationOf(timed, model);
  tell.calibrated(calibration);
  tell.cost(
    costOf(
      works.map(({ people }) => people),
      calibration,
      { model, rate, inFlight },
    ),
  );
  return new Set(first.map(({ person }) => person));
}

/** Evenly, so that who was active long ago is timed too. */
function someOf<T>(all: readonly T[]): T[] {
  if (all.length <= TIMED) return [...all];
  return Array.from({ length: TIMED }, (_, i) => all[Math.floor((i * all.length) / TIMED)]!);
}

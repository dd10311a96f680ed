import { type FigureTable, mergeIntoSummary, readSummary } from '../../summary.js';
import { table } from '../../table.js';
import { type FigureKind, figureKind } from './goals.js';
import type { KitFigure } from './numbers.js';
import type { Banded } from './rounds.js';

export type Verdict = 'better' | 'worse' | 'within noise' | 'no band' | 'another machine' | 'new';

/** A figure beside the one that is committed. */
export interface Compared {
  readonly name: string;
  /** Undefined for a figure that was not there yet. */
  readonly before: number | undefined;
  readonly now: number;
  /** now / before. */
  readonly ratio: number | undefined;
  readonly verdict: Verdict;
}

type Band = readonly [low: number, high: number];

/**
 * Widens each figure's band, which is of rounds of one run, by what whole runs differ by: it covers the value give or take two standard
 * deviations of the same figure over this and `earlier` runs of the same machine, versions, settings and release.
 */
export function widen(figures: readonly KitFigure[], earlier: readonly (readonly KitFigure[])[]): KitFigure[] {
  return figures.map((figure) => {
    const others = earlier.flatMap((run) => run.filter(({ name }) => name === figure.name).map(({ value }) => value));
    return others.length === 0 ? figure : { ...figure, band: spread(figure, [...others, figure.value]) };
  });
}

function spread({ value, band = [value, value] }: Banded, runs: readonly number[]): Band {
  const mean = runs.reduce((sum, v) => sum + v, 0) / runs.length;
  const deviation = Math.sqrt(runs.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (runs.length - 1));
  return [Math.min(band[0], value - 2 * deviation), Math.max(band[1], value + 2 * deviation)];
}

/** Puts a run's figures into perf/report/summary.json, with their bands. */
export function writeSummary(folder: string, figures: readonly KitFigure[]): Promise<void> {
  const estimate = ({ value, band }: KitFigure) => ({ value, ...(band && { band }) });
  return mergeIntoSummary(folder, Object.fromEntries(figures.map((figure) => [figure.name, estimate(figure)])));
}

/** The figures beside those of summary.json in `folder`, as it is now: to be called before `writeSummary`. */
export async function compareToSummary(
  folder: string,
  figures: readonly KitFigure[],
  machine: { cpu: string; cores: number },
) {
  return compare(await readSummary(folder), figures, machine);
}

/**
 * A figure is better or worse when the two bands have nothing in common, and within noise when they have. A figure in ms that another
 * machine made is not judged; ratios are, since both sides of one ran on the same machine.
 */
export function compare(
  before: FigureTable,
  now: readonly KitFigure[],
  machine: { readonly cpu: string; readonly cores: number },
): Compared[] {
  return now.map(({ name, value, band }) => {
    const old = before[name];
    const kind = figureKind(name);
    if (old === undefined || kind === undefined)
      return { name, before: undefined, now: value, ratio: undefined, verdict: 'new' };
    const moved = kind.unit === 'ms' && (old.cpu !== machine.cpu || old.cores !== machine.cores);
    const verdict = moved ? 'another machine' : judge(kind, old, { value, band });
    return { name, before: old.value, now: value, ratio: value / old.value, verdict };
  });
}

function judge(
  { better }: Pick<FigureKind, 'better'>,
  old: { readonly value: number; readonly band?: Band },
  now: { readonly value: number; readonly band: Band | undefined },
): Verdict {
  if (old.band === undefined && now.band === undefined) return 'no band';
  const [oldLow, oldHigh] = old.band ?? [old.value, old.value];
  const [low, high] = now.band ?? [now.value, now.value];
  if (low <= oldHigh && oldLow <= high) return 'within noise';
  return low > oldHigh === (better === 'more') ? 'better' : 'worse';
}

/** What decides the exit code where the caller wants it to. */
export const hasWorsened = (rows: readonly Compared[]): boolean => rows.some(({ verdict }) => verdict === 'worse');

const JUDGED: readonly Verdict[] = ['better', 'worse', 'within noise'];

/** A table for the terminal, and a line that counts the verdicts. */
export function formatComparison(rows: readonly Compared[]): string {
  if (rows.length === 0) return 'Nothing was measured that could be compared.';
  const three = (value: number | undefined) => (value === undefined ? '' : String(Number(value.toPrecision(3))));
  const lines = table(
    ['figure', 'committed', 'now', 'ratio', 'verdict'],
    rows.map(({ name, before, now, ratio, verdict }) => [name, three(before), three(now), three(ratio), verdict]),
  );
  const counts = JUDGED.map((verdict) => `${rows.filter((row) => row.verdict === verdict).length} ${verdict}`);
  const others = rows.filter(({ verdict }) => !JUDGED.includes(verdict)).length;
  return [...lines, '', `${counts.join(', ')}, ${others} not judged.`].join('\n');
}

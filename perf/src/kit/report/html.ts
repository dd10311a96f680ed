import { median } from '../../statistics.js';
import type { Shape } from '../measurements.js';
import { describeShape, type ReportFindings } from './findings.js';
import { threeDigits } from './plot/bars.js';
import { element, escapeText } from './plot/svg.js';

/** A part of the page, or in few words what is not in it because it was not measured. */
export type Part = { readonly html: string } | { readonly missing: string };

/** A drawing with what it shows above and on what it was measured below. Drawings for wide and narrow screens may differ. */
export function figure(
  title: string,
  drawing: string | { wide: string; narrow: string },
  caption: string,
  legend = '',
): string {
  const drawn =
    typeof drawing === 'string'
      ? drawing
      : element('div', { class: 'wide' }, drawing.wide) + element('div', { class: 'narrow' }, drawing.narrow);
  return element('figure', {}, [element('h3', {}, escapeText(title)), legend, drawn, captionOf(caption, 'figcaption')]);
}

export const captionOf = (caption: string, tag = 'p') => element(tag, { class: 'caption' }, escapeText(caption));

export const WIDE = 900;
export const NARROW = 360;

/** The same drawing at both widths. */
export const both = (draw: (width: number) => string) => ({ wide: draw(WIDE), narrow: draw(NARROW) });

/** Colours with their names, where there is no room to name them in the drawing. */
export function legendOf(entries: readonly (readonly [kind: string, name: string])[]): string {
  const entry = ([kind, name]: readonly [string, string]) =>
    element('span', {}, [element('i', { class: kind }, ''), escapeText(name)]);
  return element('p', { class: 'legend' }, entries.map(entry));
}

export type TableCell = string | number | undefined | { readonly html: string };

/**
 * Numbers right, text left; what is undefined is a dash. Scrolls sideways where the screen is too narrow. Only the first column of a `tight`
 * one has lines that break.
 */
export function htmlTable(
  titles: readonly string[],
  rows: readonly (readonly TableCell[])[],
  caption: string,
  kindOf = '',
): string {
  const isNumber = titles.map((_, i) => rows.every((row) => row[i] === undefined || typeof row[i] === 'number'));
  const kind = (i: number) => (isNumber[i] ? 'number' : undefined);
  const cell = (value: TableCell) => {
    if (value === undefined) return '–';
    if (typeof value === 'object') return value.html;
    return escapeText(typeof value === 'number' ? threeDigits(value) : value);
  };
  const head = titles.map((title, i) => element('th', { class: kind(i) }, escapeText(title)));
  const body = rows.map((row) =>
    element(
      'tr',
      {},
      row.map((value, i) => element('td', { class: kind(i) }, cell(value))),
    ),
  );
  const table = element('table', { class: kindOf || undefined }, [
    element('thead', {}, element('tr', {}, head)),
    element('tbody', {}, body),
  ]);
  return element('div', { class: 'scroll' }, table) + captionOf(caption);
}

/** "2026-01-01" or "2026-01-01 to 2026-01-02". */
export function datesOf(dates: readonly string[]): string {
  const days = dates.map((date) => date.slice(0, 10)).sort();
  const [first, last] = [days[0], days.at(-1)];
  if (first === undefined) return 'no date';
  return first === last ? first : `${first} to ${last}`;
}

/** Where, when and at which shape something was measured: stands below all numbers. */
export function provenance(
  { machine }: Pick<ReportFindings, 'machine'>,
  { dates, shape, more }: { dates: readonly string[]; shape?: Shape | undefined; more?: string | undefined },
): string {
  const where = `${machine.cpu}, ${machine.cores} cores`;
  return [where, datesOf(dates), ...(shape ? [describeShape(shape)] : []), ...(more ? [more] : [])]
    .join('; ')
    .concat('.');
}

export const roundsTold = (rounds: number) => (rounds === 1 ? 'one round' : `medians of ${rounds} rounds`);

/** Undefined of nothing, where `median` answers NaN. */
export function middle(values: readonly (number | undefined)[]): number | undefined {
  const finite = values.filter((value): value is number => value !== undefined && Number.isFinite(value));
  return finite.length === 0 ? undefined : median(finite);
}

export const percent = (share: number) => `${Math.round(100 * share)}%`;
export const times = (ratio: number) => `${threeDigits(ratio)} times`;

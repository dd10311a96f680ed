import { allPart, cpuParts, flameParts, improvementParts, settingsPart, waterfallParts } from './details-section.js';
import type { ReportFindings } from './findings.js';
import { headlineParts, purePart, systemsPart } from './headline-section.js';
import { datesOf, type Part } from './html.js';
import { loadParts } from './load-section.js';
import { figuresOf, type KitFigure } from './numbers.js';
import { PAGE_STYLE } from './page-style.js';
import { element, escapeText } from './plot/svg.js';
import { GOOD_SHARE, type Objective, sweepParts } from './sweeps-section.js';

export interface PageOptions {
  /** With bands that repeated runs widened; by default those of this run alone. */
  readonly figures?: readonly KitFigure[];
  /** What an offered rate must keep. */
  readonly objective?: Objective;
}

/** The gateway's own budget of time by default. */
const OBJECTIVE: Objective = { latencyMs: 300, goodShare: GOOD_SHARE };

/** One page that needs nothing else: style and drawings are in it, and it asks nobody for anything. */
export function formatPage(findings: ReportFindings, { figures, objective = OBJECTIVE }: PageOptions = {}): string {
  const sections: readonly (readonly [title: string, parts: readonly Part[]])[] = [
    ['What one pass saves', headlineParts(findings, figures ?? figuresOf(findings))],
    ['What was compared', [systemsPart(findings), purePart(findings)]],
    ['Throughput against latency', loadParts(findings)],
    ['What it depends on', sweepParts(findings, objective)],
    [
      'Where the time goes',
      [waterfallParts, cpuParts, flameParts, improvementParts].flatMap((partsOf) => partsOf(findings)),
    ],
    ['What was held equal', [settingsPart(findings)]],
    ['Numbers', [allPart(findings)]],
  ];
  const missing = sections.flatMap(([, parts]) => parts.flatMap((part) => ('missing' in part ? [part.missing] : [])));
  const body = [
    header(findings),
    ...sections.map(([title, parts]) => section(title, parts)),
    missing.length === 0 ? '' : element('p', {}, escapeText(`Not measured in this run: ${missing.join('; ')}.`)),
    element('p', { class: 'caption' }, 'How it was measured, and how to repeat it: perf/README.md.'),
  ];
  const head = [
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    '<link rel="icon" href="data:,">',
    element('title', {}, 'Onepass, measured'),
    element('style', {}, PAGE_STYLE),
  ];
  return `<!doctype html>\n<html lang="en">${element('head', {}, head)}${element('body', {}, element('main', {}, body))}</html>\n`;
}

function header(findings: ReportFindings): string {
  const { machine, release, partial, notes, measurements } = findings;
  const told =
    `Measured ${datesOf(measurements.map(({ date }) => date))} on ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ` +
    `Node ${machine.node}, with release ${release.id} (${release.name}). Ratios hold within this run; absolute numbers are this machine's.`;
  const cut = 'This run was cut short. What is here was measured whole, but not everything was measured.';
  return [
    element('h1', {}, 'Onepass, measured'),
    ...(partial ? [list([cut])] : []),
    element('p', { class: 'lead' }, escapeText(told)),
    notes.length <= SHOWN_NOTES
      ? list(notes)
      : element('details', {}, [element('summary', {}, `${notes.length} notes on how it went`), list(notes)]),
  ].join('');
}

/** More than these are folded. */
const SHOWN_NOTES = 3;

function list(sentences: readonly string[]): string {
  if (sentences.length === 0) return '';
  const items = sentences.map((sentence) => element('li', {}, escapeText(sentence)));
  return element('ul', { class: 'warning' }, items);
}

function section(title: string, parts: readonly Part[]): string {
  const html = parts.flatMap((part) => ('html' in part ? [part.html] : []));
  return html.length === 0 ? '' : element('section', {}, [element('h2', {}, escapeText(title)), ...html]);
}

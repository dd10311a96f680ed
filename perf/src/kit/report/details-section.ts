import type { Measurement } from '../measurements.js';
import { SYSTEMS } from '../measurements.js';
import {
  CPU_PARTS,
  type CpuParts,
  describeShape,
  type Flame,
  type ReportFindings,
  SPAN_KINDS,
  type Span,
  type SpanKind,
  sameShape,
} from './findings.js';
import { both, figure, htmlTable, legendOf, middle, type Part, provenance, WIDE } from './html.js';
import { shapesOf } from './numbers.js';
import { type StackedBar, stackedBars, threeDigits } from './plot/bars.js';
import { flameGraph, flameKey, flameMost, flameMs } from './plot/flame-graph.js';
import { element, escapeText } from './plot/svg.js';
import { timeline } from './plot/timeline.js';
import { cpuOfPage, grouped, hitRate, saturated } from './rounds.js';
import { describeLoad } from './store.js';
import { NAMES, PART_COLOURS, SHORT, SPANS } from './words.js';

/** One request taken apart. */
export function waterfallParts(findings: ReportFindings): Part[] {
  if (findings.waterfalls.length === 0) return [{ missing: 'the waterfall of one warm request' }];
  return findings.waterfalls.map(({ spans, date, shape, system, what }) => {
    const kinds = SPAN_KINDS.filter((kind) => spans.some((span) => span.kind === kind));
    const total = Math.max(0, ...spans.map(({ endMs }) => endMs));
    const told = (kind: SpanKind) => `${threeDigits(msOf(spans, kind))} ms`;
    const legend = legendOf(kinds.map((kind) => [`k-${kind}`, `${SPANS[kind]} ${told(kind)}`]));
    const caption = provenance(findings, { dates: [date], shape, more: `${NAMES[system]}: ${what}` });
    const others = kinds.filter((kind) => kind !== 'compute');
    const second = others.sort((a, b) => msOf(spans, b) - msOf(spans, a))[0];
    const next = second === undefined ? '' : `, ${told(second)} ${SPANS[second]}`;
    const title = `Of ${threeDigits(total)} ms of one request, ${told('compute')} are graphs and search${next}`;
    const html = figure(
      title,
      both((width) => timeline(spans, 'Waterfall of one request', width)),
      caption,
      legend,
    );
    return { html };
  });
}

/** Time of the spans of a kind, without those that lie in another of them, in ms. */
function msOf(spans: readonly Span[], wanted: SpanKind): number {
  const some = spans
    .filter(({ kind, startMs, endMs }) => kind === wanted && Number.isFinite(startMs) && endMs >= startMs)
    .sort((a, b) => a.startMs - b.startMs);
  let [sum, until] = [0, Number.NEGATIVE_INFINITY];
  for (const { startMs, endMs } of some) {
    sum += Math.max(0, endMs - Math.max(startMs, until));
    until = Math.max(until, endMs);
  }
  return sum;
}

/** CPU a page by process for each system, at saturation; and by what it is for where a profiler was asked. */
export function cpuParts(findings: ReportFindings): Part[] {
  const bySystem = shapesOf(findings).flatMap((shape): Part[] => {
    const here = findings.measurements.filter((m) => m.sweep === undefined && sameShape(m.shape, shape));
    const loads = SYSTEMS.map((system) => ({ system, rounds: [...saturated(here, system).values()] }));
    const processes = [...new Set(loads.flatMap(({ rounds }) => rounds.flatMap((m) => Object.keys(m.cpuMs))))].sort();
    const cost = (rounds: readonly Measurement[], process: string) =>
      middle(rounds.map((m) => cpuOfPage(m, process))) ?? 0;
    const bars = loads.flatMap(({ system, rounds }) => {
      const parts = processes.map((name, i) => ({ key: partKey(i), name, value: cost(rounds, name) }));
      return rounds.length === 0 || parts.every(({ value }) => value <= 0) ? [] : [{ label: SHORT[system], parts }];
    });
    if (bars.length === 0) return [];
    const [first] = bars;
    const largest = first!.parts.reduce((a, b) => (b.value > a.value ? b : a));
    const title = `CPU a page by process: in ${first!.label} most goes to ${largest.name}`;
    const caption = provenance(findings, {
      dates: here.map(({ date }) => date),
      shape,
      more: 'at saturation, medians',
    });
    return [{ html: stacked(title, bars, caption) }];
  });
  const profiles = [...grouped(findings.cpu, ({ shape, system }) => `${describeShape(shape)} ${system}`).values()];
  const profiled = profiles.map((some): Part => {
    const { shape, system } = some[0]!;
    const names = [...new Set(some.flatMap(({ parts }) => parts.map(({ name }) => name)))];
    const bars = some.map(({ process, parts }) => ({
      label: process,
      parts: parts.map(({ name, ms }) => ({ key: partKey(colourOf(name, names.indexOf(name))), name, value: ms })),
    }));
    const caption = provenance(findings, {
      dates: some.map(({ date }) => date),
      shape,
      more: `by a profiler in each process, at saturation${slower(some)}`,
    });
    return {
      html: stacked(`${largestParts(some)}: what each process of ${SHORT[system]} spends it on`, bars, caption),
    };
  });
  return [
    ...(bySystem.length > 0 ? bySystem : [{ missing: 'CPU by process' }]),
    ...(profiled.length > 0 ? profiled : [{ missing: 'what CPU is spent on within a process' }]),
  ];
}

/** "Of 20 ms CPU a page, 8 go to graphs, 5 to protobuf and 3 to search": of all processes together. */
function largestParts(some: readonly CpuParts[]): string {
  const sums = new Map<string, number>();
  for (const { name, ms } of some.flatMap(({ parts }) => parts)) sums.set(name, (sums.get(name) ?? 0) + ms);
  const all = [...sums.values()].reduce((sum, ms) => sum + ms, 0);
  const most = [...sums].sort(([, a], [, b]) => b - a).slice(0, 3);
  const told = most.map(([name, ms], i) => `${threeDigits(ms)} ${i === 0 ? 'go ' : ''}to ${name.replace(/,.*/, '')}`);
  return `Of ${threeDigits(all)} ms CPU a page, ${told.join(', ')}`;
}

function slower(some: readonly CpuParts[]): string {
  const plain = some.reduce((sum, { plainMs }) => sum + (plainMs ?? Number.NaN), 0);
  const profiled = some.reduce((sum, { parts }) => sum + parts.reduce((total, { ms }) => total + ms, 0), 0);
  if (!(plain > 0) || !Number.isFinite(profiled)) return '';
  return `; without one, all processes together take ${threeDigits(plain)} ms in place of ${threeDigits(profiled)}`;
}

/** Name of a process's flame graph beside the page. */
export const flameFileName = ({ process }: Pick<Flame, 'process'>) =>
  `flame-${process.replaceAll(/[^\w-]+/g, '_')}.svg`;

/** "gateway of A: 6 ms CPU a page, most of all for protobuf messages, 2 ms". */
export function flameTitle({ process, system, frames }: Flame): string {
  const most = flameMost(frames);
  const told = most ? `, most of all for ${most.part.replace(/,.*/, '')}, ${threeDigits(most.ms)} ms` : '';
  return `${process} of ${SHORT[system]}: ${threeDigits(flameMs(frames))} ms CPU a page${told}`;
}

/** Stacks of each process, folded until somebody looks. */
export function flameParts(findings: ReportFindings): Part[] {
  if (findings.flames.length === 0) return [{ missing: 'flame graphs of the processes' }];
  const drawn = findings.flames.map((flame) => {
    const { frames, date, shape } = flame;
    const title = flameTitle(flame);
    const used = new Set(partsIn(frames));
    const legend = legendOf(CPU_PARTS.filter((part) => used.has(part)).map((part) => [flameKey({ part }), part]));
    const link = element('a', { href: flameFileName(flame) }, 'on its own');
    const caption = provenance(findings, {
      dates: [date],
      shape,
      more: 'callers below, what they called above, as wide as their CPU; stacks of the main thread, other threads as one',
    });
    const drawing = element(
      'div',
      { class: 'scroll' },
      element('div', { class: 'broad' }, flameGraph(frames, title, WIDE)),
    );
    const shown = element('figure', {}, [
      legend,
      drawing,
      element('figcaption', { class: 'caption' }, [escapeText(`${caption} `), link]),
    ]);
    return element('details', {}, [element('summary', {}, escapeText(title)), shown]);
  });
  return [{ html: element('h3', {}, 'Flame graphs, by process') + drawn.join('') }];
}

function partsIn(frames: Flame['frames']): string[] {
  return frames.flatMap(({ part, inner }) => [part, ...partsIn(inner)]);
}

const COLOURS = 10;
const colourOf = (name: string, otherwise: number) => (PART_COLOURS as Record<string, number>)[name] ?? otherwise;
const partKey = (i: number) => `p${i % COLOURS}`;

/** What CPU is for has an order; all else stays as it is. */
const rank = (name: string) => (CPU_PARTS as readonly string[]).indexOf(name);

function stacked(title: string, bars: readonly StackedBar[], caption: string): string {
  const entries = new Map(bars.flatMap(({ parts }) => parts.map(({ key, name }) => [name, `s-${key}`] as const)));
  const known = [...entries].sort(([a], [b]) => rank(a) - rank(b));
  const legend = legendOf(known.map(([name, kind]) => [kind, name]));
  return figure(
    title,
    both((width) => stackedBars(bars, title, 'ms', width)),
    caption,
    legend,
  );
}

export function improvementParts(findings: ReportFindings): Part[] {
  if (findings.improvements.length === 0) return [{ missing: 'a cost before and after it was removed' }];
  const rows = findings.improvements.map(({ what, before, after, unit, shape, machine, date }) => [
    what,
    before,
    after,
    unit,
    before > 0 && Number.isFinite(after / before) ? `${threeDigits(100 * (after / before - 1))}%` : undefined,
    describeShape(shape),
    machine,
    date.slice(0, 10),
  ]);
  const titles = ['what was removed', 'before', 'after', 'unit', 'change', 'shape', 'machine', 'date'];
  const caption = 'Each measured once, when it was removed: the code before and the code after in turns, medians.';
  return [{ html: element('h3', {}, 'Costs that were removed') + htmlTable(titles, rows, caption, 'tight') }];
}

/** What is the same for all systems, and with what it was measured. */
export function settingsPart(findings: ReportFindings): Part {
  const { machine, versions, settings, releases } = findings;
  const where = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}`;
  const rows = [
    ['machine', where],
    ...releases.map((r) => [
      'release',
      `${r.id} (${r.name})${r.synthetic ? ', weights made up: its speed counts, its pages do not' : ''}`,
    ]),
    ['Node', machine.node],
    ...Object.entries(versions),
    ...Object.entries(settings),
  ];
  const caption = 'The same for every system unless the table of systems says otherwise.';
  return { html: htmlTable(['what', 'as measured'], rows, caption) };
}

/** Everything, by point: medians over rounds. */
export function allPart(findings: ReportFindings): Part {
  if (findings.measurements.length === 0) return { missing: 'any load' };
  const points = grouped(findings.measurements, (m) =>
    [describeShape(m.shape), m.sweep?.name, m.sweep?.value, m.system, describeLoad(m.load)].join(),
  );
  const rows = [...points.values()].map((some) => {
    const [first] = some as [Measurement];
    const over = (value: (m: Measurement) => number | undefined) => middle(some.map(value));
    const errors = grouped(
      some.flatMap(({ seen }) => Object.entries(seen.errors)),
      ([status]) => status,
    );
    const told = [...errors].map(([status, all]) => `${all.reduce((sum, [, n]) => sum + n, 0)} ${status}`).join(', ');
    return [
      SHORT[first.system],
      describeShape(first.shape),
      first.sweep && `${first.sweep.name} ${first.sweep.value}`,
      describeLoad(first.load),
      some.length,
      over((m) => m.seen.goodput),
      over((m) => m.seen.latencyMs.p50),
      over((m) => m.seen.latencyMs.p90),
      over((m) => m.seen.latencyMs.p99),
      over((m) => m.seen.latencyMs.p999),
      over((m) => m.seen.degraded),
      told || undefined,
      over((m) => 100 * hitRate(m)),
      over((m) => m.kvMiB),
      over((m) => cpuOfPage(m)),
      over((m) => 100 * m.seen.senderCpu),
      first.date.slice(0, 10),
    ];
  });
  const titles = [
    ...['system', 'shape', 'sweep', 'load', 'rounds', 'whole pages/s', 'p50 ms', 'p90 ms', 'p99 ms', 'p99.9 ms'],
    ...['degraded', 'errors', 'hit %', 'KV MiB', 'CPU-ms a page', "sender's CPU %", 'date'],
  ];
  const caption = provenance(findings, {
    dates: findings.measurements.map(({ date }) => date),
    more: 'medians over rounds, errors together; p99 from 1,000 samples, p99.9 from 10,000',
  });
  const summary = element('summary', {}, `All points that were measured, ${rows.length}, with their numbers`);
  return { html: element('details', {}, summary + htmlTable(titles, rows, caption)) };
}

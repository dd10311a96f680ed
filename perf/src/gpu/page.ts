import { both, captionOf, figure, htmlTable, type TableCell } from '../kit/report/html.js';
import { PAGE_STYLE } from '../kit/report/page-style.js';
import { ratioBars, stackedBars } from '../kit/report/plot/bars.js';
import { linePlot, type Series } from '../kit/report/plot/line-plot.js';
import { element, escapeText } from '../kit/report/plot/svg.js';
import { PAGE } from './bench-cases.js';
import {
  describeGoal,
  deviceMs,
  fastest,
  fastestEncode,
  GPU_FIGURES,
  type GpuFigureName,
  isHome,
  metOf,
  wallMs,
} from './figures.js';
import type { GpuFindings } from './findings.js';
import { kvFlopRatio } from './flops.js';
import { describeCase, type MeasuredCase } from './gpu-case.js';
import { describeWhere } from './gpu-machine.js';
import { batchesUpTo } from './options.js';
import { describeShape, sorted } from './tell.js';

/** One page that needs nothing else, pictures first. */
export function gpuPage(findings: GpuFindings): string {
  const { machine, shape, date, notes } = findings;
  const where = `${describeWhere(machine)}; ${date}; ${describeShape(shape)}.`;
  return htmlPage('The device engine, measured', [
    element('p', { class: 'lead' }, escapeText(where)),
    notes.length === 0
      ? ''
      : element(
          'ul',
          { class: 'warning' },
          notes.map((note) => element('li', {}, escapeText(note))),
        ),
    element('h2', {}, 'What held KV saves'),
    speedups(findings, where),
    passes(findings, where),
    attentions(findings, where),
    element('h2', {}, 'Batches'),
    batches(findings, where),
    element('h2', {}, 'Numbers'),
    htmlTable(['figure', 'value', 'from', 'to', 'goal'], figureRows(findings), where, 'tight'),
    htmlTable(['ms a run', 'on the device', 'as seen', 'a person'], caseRows(findings), where, 'tight'),
    accuracy(findings, where),
    captionOf("How it was measured: docs/gpu.md. Ratios hold within this run; absolute numbers are this machine's."),
  ]);
}

/** A page that needs nothing else: style and drawings are in it, and it asks nobody for anything. */
export function htmlPage(title: string, content: readonly string[]): string {
  const head = [
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    '<link rel="icon" href="data:,">',
    element('title', {}, escapeText(title)),
    element('style', {}, PAGE_STYLE),
  ];
  const main = element('main', {}, [element('h1', {}, escapeText(title)), ...content]);
  return `<!doctype html>\n<html lang="en">${element('head', {}, head)}${element('body', {}, main)}</html>\n`;
}

/** Ratios whose ceilings are known, each with its own. */
function speedups({ figures, shape }: GpuFindings, where: string): string {
  const whole = kvFlopRatio({ ...shape, ...PAGE }, 'whole');
  const bars = (
    [
      ['kv_speedup', 'A', 'ranking on held KV over recomputing', whole, 'of what FLOPs promise'],
      ['total_speedup', 'C', 'everything together over plain recomputing', undefined, ''],
      ['host_kv_copy_ratio', 'B', 'KV copied at the speed of the link, over KV on the device', undefined, ''],
    ] as const
  ).flatMap(([name, key, label, limit, of]) => {
    const seen = figures[name];
    if (seen === undefined) return [];
    const told = limit === undefined ? '' : `${Math.round((100 * seen.value) / limit)}% ${of}`;
    return [{ key, label, value: seen.value, band: seen.band, limit, told }];
  });
  if (bars.length === 0) return '';
  const draw = (width: number) => ratioBars(bars, 'ratios of times', width);
  const told = `The mark on the first bar is the ratio of FLOPs, ${whole.toFixed(2)}, with the masked half of the past counted; without it ${kvFlopRatio({ ...shape, ...PAGE }, 'half').toFixed(2)}. ${where}`;
  return figure('Times faster than the alternative', both(draw), told);
}

/** Each pass at its fastest, ours beside PyTorch's. */
function passes({ measured, shape }: GpuFindings, where: string): string {
  const { batch } = shape;
  const bars = (
    [
      ['encode', 'encode all'],
      ['append', 'append one row'],
      ['rank', 'rank on held KV'],
      ['recompute', 'recompute'],
    ] as const
  ).flatMap(([timed, label]) =>
    (['onepass', 'pytorch'] as const).flatMap((system) => {
      const rows = timed === 'append' ? { rows: 1 } : {};
      const ours = system === 'onepass' && timed === 'encode';
      const best = ours ? fastestEncode(measured, batch) : fastest(measured, { system, timed, batch, ...rows });
      if (best === undefined) return [];
      const name = system === 'onepass' ? label : `${label}, PyTorch`;
      return [{ label: name, parts: [{ key: system === 'onepass' ? 'p0' : 'p1', name, value: deviceMs(best) }] }];
    }),
  );
  const draw = (width: number) => stackedBars(bars, 'milliseconds of each pass', 'ms', width);
  return figure(`A run of ${batch} people, at its fastest`, both(draw), where);
}

/** Every kind of attention, captured and not, at the whole batch. */
function attentions({ measured, shape }: GpuFindings, where: string): string {
  const own = sorted(measured).filter(({ case: of }) => of.system === 'onepass' && of.batch === shape.batch);
  const bars = own.flatMap((one) => {
    const { timed, attention, captured } = one.case;
    const key = { encode: 'p4', prefill: 'p7', rank: 'p0', recompute: 'p1' }[timed as string];
    if (key === undefined) return [];
    const label = `${timed}, ${attention}${captured ? ', captured' : ''}`;
    return [{ label, parts: [{ key, name: label, value: deviceMs(one) }] }];
  });
  const draw = (width: number) => stackedBars(bars, 'milliseconds by the kind of attention', 'ms', width);
  return figure('Kinds of attention', both(draw), where);
}

/** Time for one person by the size of the batch. */
function batches({ measured, shape }: GpuFindings, where: string): string {
  const sizes = batchesUpTo(shape.batch);
  const series = (
    [
      ['recompute', 'B', 'recompute', {}],
      ['encode', 'D', 'encode', {}],
      ['rank', 'A', 'rank on KV', {}],
      ['append', 'C', 'append one', { rows: 1 }],
    ] as const
  ).map(([timed, key, label, more]): Series => {
    const points = sizes.flatMap((batch) => {
      const best = fastest(measured, { system: 'onepass', timed, batch, ...more });
      if (best === undefined) return [];
      const each = best.rounds.map(({ deviceMicros }) => deviceMicros / 1000 / batch);
      const says = `${describeCase(best.case)}: ${(deviceMs(best) / batch).toPrecision(3)} ms a person`;
      return [{ x: batch, y: deviceMs(best) / batch, low: Math.min(...each), high: Math.max(...each), says }];
    });
    return { key, label, points };
  });
  const draw = (width: number) =>
    linePlot({
      label: 'milliseconds a person by the size of the batch',
      x: { label: 'people in one run', log: true, measured: true },
      y: { label: 'ms a person', log: true },
      series,
      width,
      height: 330,
    });
  return figure('What a person costs', both(draw), `Each at its fastest; bands are all rounds. ${where}`);
}

function figureRows({ figures, shape }: GpuFindings): TableCell[][] {
  return Object.entries(figures).map(([name, { value, band }]) => {
    const { says } = GPU_FIGURES[name as GpuFigureName];
    const asked = describeGoal(name as GpuFigureName);
    // Goals are of one shape; elsewhere they are only told.
    const met = isHome(shape) ? metOf(name as GpuFigureName, value) : undefined;
    const judged =
      met === undefined
        ? asked
        : {
            html: element('span', { class: met ? 'met' : 'missed' }, escapeText(`${asked}, ${met ? 'met' : 'missed'}`)),
          };
    return [`gpu_${name}: ${says}`, value, band?.[0], band?.[1], judged];
  });
}

const caseRows = ({ measured }: GpuFindings): TableCell[][] =>
  sorted(measured).map((one: MeasuredCase) => [
    describeCase(one.case),
    deviceMs(one),
    wallMs(one),
    deviceMs(one) / one.case.batch,
  ]);

function accuracy({ compared }: GpuFindings, where: string): string {
  if (compared.length === 0) return '';
  const rows = compared.map(({ case: of, agreement }): TableCell[] => [
    describeCase(of),
    agreement.worst.toExponential(1),
    agreement.mean.toExponential(1),
    agreement.kendall.toFixed(5),
  ]);
  return htmlTable(
    ['probabilities beside float32 on the CPU', 'largest off', 'mean off', 'Kendall'],
    rows,
    where,
    'tight',
  );
}

import { type Shape, SYSTEMS, type SystemName } from '../measurements.js';
import { describeShape, type ReportFindings, sameShape } from './findings.js';
import { DEFAULT_SHAPE, describeGoal, FIGURES, goalOf, MAIN_SHAPE } from './goals.js';
import {
  both,
  figure,
  htmlTable,
  middle,
  type Part,
  percent,
  provenance,
  roundsTold,
  type TableCell,
  times,
} from './html.js';
import { figuresOf, type KitFigure, shapesOf } from './numbers.js';
import { ratioBars, threeDigits } from './plot/bars.js';
import { element, escapeText } from './plot/svg.js';
import { systemStrips } from './plot/system-strips.js';
import { DESCRIPTIONS, NAMES } from './words.js';

const BARS: readonly (readonly [base: string, system: SystemName, label: string])[] = [
  ['qps_ratio_c_over_b', 'C', 'C over B: shared by the stages, over two models'],
  ['qps_ratio_d_over_b', 'D', 'D over B: also kept between requests'],
  ['qps_ratio_a_over_b', 'A', 'A over B: all of Onepass'],
  ['qps_ratio_a_over_bprime', 'Bprime', 'A over B′: both keep KV, at 50% hit'],
  ['qps_ratio_a_over_g', 'Gkv', 'A over G, which keeps KV too'],
  ['qps_ratio_a_over_g_without_kv', 'G', 'A over G, which keeps none'],
];

/** Headline ratios with their ceilings, and all figures with what is asked of them, for each shape. */
export function headlineParts(findings: ReportFindings, figures: readonly KitFigure[] = figuresOf(findings)): Part[] {
  return shapesOf(findings).flatMap((shape): Part[] => {
    const here = figures.filter((f) => sameShape(f.shape, shape));
    if (here.length === 0) return [];
    const dates = findings.measurements.filter((m) => sameShape(m.shape, shape)).map(({ date }) => date);
    const rounds = Math.max(...here.map((f) => f.rounds));
    const from = { dates: dates.length > 0 ? dates : findings.measurements.map(({ date }) => date), shape };
    const caption = provenance(findings, { ...from, more: roundsTold(rounds) });
    const heading = element('h3', { class: 'shape' }, escapeText(`At ${nameOf(shape)}`));
    return [{ html: heading + ratioFigure(here, caption) + figureTable(here, caption) }];
  });
}

function nameOf(shape: Shape): string {
  const name = sameShape(shape, DEFAULT_SHAPE)
    ? ', the default release'
    : sameShape(shape, MAIN_SHAPE)
      ? ', the main shape'
      : '';
  return `${describeShape(shape)}${name}`;
}

function ratioFigure(figures: readonly KitFigure[], caption: string): string {
  const find = (base: string) => figures.find((f) => f.base === base);
  const bars = BARS.flatMap(([base, key, label]) => {
    const ratio = find(base);
    if (ratio === undefined) return [];
    const limit = find(`${base}_ceiling`)?.value;
    const told = limit === undefined ? '' : `${percent(ratio.value / limit)} of its ceiling, ${threeDigits(limit)}x`;
    return [{ key, label, value: ratio.value, band: ratio.band, limit, told }];
  });
  if (bars.length === 0) return '';
  const note =
    'Whole pages a second, one system over another, each at its best closed loop. The tall mark is the ceiling: the same ratio of pure compute. ' +
    'The thin line with ends spans what other rounds would give. ';
  return figure(
    sentence(find),
    both((width) => ratioBars(bars, 'Ratios of pages a second', width)),
    note + caption,
  );
}

/** What the bars say. */
function sentence(find: (base: string) => KitFigure | undefined): string {
  const [c, d, a] = ['qps_ratio_c_over_b', 'qps_ratio_d_over_b', 'qps_ratio_a_over_b'].map((base) => find(base)?.value);
  if (c !== undefined && d !== undefined)
    return `Sharing one pass answers ${times(c)} the pages of two models; keeping it between requests ${times(d)}`;
  if (a !== undefined) return `Onepass answers ${times(a)} the pages of two models`;
  const other = BARS.flatMap(([base]) => find(base) ?? [])[0];
  return other === undefined ? 'Ratios of pages a second' : `${times(other.value)}: ${FIGURES[other.base]!.says}`;
}

/** A row for each figure, with its ceiling or floor beside it. */
function figureTable(figures: readonly KitFigure[], caption: string): string {
  const find = (base: string) => figures.find((f) => f.base === base);
  const rows = figures
    .filter(({ base }) => !/_(ceiling|floor)$/.test(base))
    .map((f) => {
      const { says, unit } = FIGURES[f.base]!;
      const limit = find(`${f.base}_ceiling`) ?? find(`${f.base}_floor`);
      const share = find(`${f.base}_of_ceiling`) ?? find(`${f.base}_of_floor`);
      const name = element('code', {}, escapeText(f.name).replaceAll('_', '_<wbr>'));
      const words = f.detail === '' ? says : `${says} (${f.detail})`;
      return [
        { html: `${escapeText(words)}<br>${name}` },
        withUnit(f.value, unit),
        f.band && `${threeDigits(f.band[0])} to ${threeDigits(f.band[1])}`,
        limit && withUnit(limit.value, unit),
        share && threeDigits(share.value),
        ...verdictOf(f, share),
      ];
    });
  return htmlTable(['figure', 'value', 'between', 'ceiling or floor', 'of it', 'goal', ''], rows, caption, 'tight');
}

const withUnit = (value: number, unit: string) => `${threeDigits(value)}${unit === 'ms' ? ' ms' : unit}`;

/** What is asked of the figure, or of its share of its limit, and whether that is met. */
function verdictOf(figure: KitFigure, share: KitFigure | undefined): TableCell[] {
  const [own, ofShare] = [figure, share].map((f) => f && goalOf(f.base, f.shape));
  const goal = own ?? ofShare;
  if (goal === undefined) return [undefined, ''];
  const met = (own === undefined ? share : figure)?.met;
  const words = `${describeGoal(goal)}${own === undefined ? ' of it' : ''}`;
  return [words, { html: element('b', { class: met ? 'met' : 'missed' }, met ? 'met' : 'missed') }];
}

/** What each system is, and which passes it makes. */
export function systemsPart(findings: ReportFindings): Part {
  const seen = SYSTEMS.filter(
    (name) => name in findings.systems || findings.measurements.some((m) => m.system === name),
  );
  const shape = shapesOf(findings)[0];
  if (seen.length === 0 || shape === undefined) return { missing: 'any system' };
  const words = htmlTable(
    ['system', 'what it is'],
    seen.map((name) => [NAMES[name], findings.systems[name] ?? DESCRIPTIONS[name]]),
    'All systems run the same release on the same machine, and answer the same requests.',
  );
  const strips = figure(
    'A page that shares one pass, and keeps it, leaves little but the ranking of its candidates',
    both((width) =>
      systemStrips(
        seen.map((name) => ({ name, label: NAMES[name] })),
        shape,
        width,
      ),
    ),
    `Passes of the model for one page, as wide as their FLOPs at ${describeShape(shape)}: a computation, not a measurement. Dashed: saved. Search, serialisation and all else are left out.`,
  );
  return { html: strips + words };
}

/** What ceilings are made of. */
export function purePart(findings: ReportFindings): Part {
  const shapes = shapesOf(findings).filter((shape) => findings.pure.some((p) => sameShape(p.shape, shape)));
  if (shapes.length === 0) return { missing: 'pure compute' };
  const names = ['encodeAll', 'append', 'retrieveHead', 'rankOnKv', 'rankFromScratch', 'search'] as const;
  const rows = shapes.map((shape) => {
    const pure = findings.pure.filter((p) => sameShape(p.shape, shape));
    return [describeShape(shape), ...names.map((name) => middle(pure.map((p) => p[name]))), pure.length];
  });
  const titles = [
    'shape',
    'encode all',
    'append',
    'retrieve head',
    'rank on KV',
    'rank from scratch',
    'search',
    'rounds',
  ];
  const caption = provenance(findings, {
    dates: findings.measurements.map(({ date }) => date),
    more: 'medians in ms, one call at a time, nothing else running',
  });
  return {
    html: element('h3', {}, 'Pure compute, of which ceilings are made') + htmlTable(titles, rows, caption, 'tight'),
  };
}

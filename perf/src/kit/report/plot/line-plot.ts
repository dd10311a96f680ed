import { type Anchor, type Box, covers, LABEL_GAP, placeLabels, spread } from './labels.js';
import { linearScale, logScale, measuredScale, type Scale } from './scale.js';
import { drawing, element, escapeText, FONT, short, text, textWidth } from './svg.js';

export interface Point {
  readonly x: number;
  readonly y: number;
  /** What rounds span. */
  readonly low?: number;
  readonly high?: number;
  /** Said when the point is pointed at. */
  readonly says?: string;
}

export interface Series {
  /** Name of its colour and marker in the page's style: `s-<key>`. */
  readonly key: string;
  readonly label: string;
  readonly points: readonly Point[];
}

export interface Axis {
  /** With its unit. */
  readonly label: string;
  readonly log?: boolean;
  /** Ticks where values are, not at round numbers. */
  readonly measured?: boolean;
  /** Begins at 0. */
  readonly zero?: boolean;
}

export interface LinePlot {
  readonly label: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Straight lines to compare with: a bound on y, or the diagonal where y equals x. */
  readonly marks?: readonly (
    | { readonly kind: 'y'; readonly value: number; readonly label: string }
    | { readonly kind: 'diagonal'; readonly label: string }
  )[];
  /** Joins points in the order given, not from left to right. */
  readonly ordered?: boolean;
  readonly width?: number;
  readonly height?: number;
}

const LINE = FONT + 4;

/** Lines with markers, bands of what rounds span, and the name of each beside its last point. Points that are no numbers are left out. */
export function linePlot(plot: LinePlot): string {
  const { width = 420, height = 290 } = plot;
  const series = plot.series
    .map((s) => ({
      ...s,
      points: s.points.filter((p) => drawable(p, plot)).sort(plot.ordered ? () => 0 : byX),
    }))
    .filter(({ points }) => points.length > 0);
  const [x, y, area] = scales(plot, series, width, height);
  return drawing(width, height, plot.label, [
    ...axes(plot, x, y, area, width),
    ...marks(plot, series, x, y, area),
    ...series.map((s) => band(s, x, y)),
    ...series.map((s) => line(s, x, y)),
    ...labels(series, x, y, area, width),
  ]);
}

const byX = (a: Point, b: Point) => a.x - b.x;
const drawable = ({ x, y }: Point, plot: LinePlot) => fits(x, plot.x) && fits(y, plot.y);
/** Where ticks are values, 0 has a place among orders of magnitude too. */
const fits = (value: number, { log, measured }: Axis) =>
  Number.isFinite(value) && (!log || value > 0 || (measured === true && value === 0));

function scales(plot: LinePlot, series: readonly Series[], width: number, height: number): [Scale, Scale, Box] {
  const points = series.flatMap((s) => s.points);
  const bounds = (plot.marks ?? []).flatMap((mark) => (mark.kind === 'y' ? [mark.value] : []));
  const ys = [...points.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]), ...bounds, ...(plot.y.zero ? [0] : [])];
  const top = LINE + 12;
  const bottom = height - 2 * LINE - 8;
  const y = (plot.y.log ? logScale : linearScale)(ys, { from: bottom, to: top });
  const left = 12 + Math.max(...y.ticks.map((tick) => textWidth(tick.text)));
  const right = width - 16 - Math.max(0, ...series.map((s) => textWidth(s.label)));
  const options = { from: left, to: right, count: 4 };
  const xs = [...points.map((p) => p.x), ...(plot.x.zero ? [0] : [])];
  const x = plot.x.measured
    ? measuredScale(xs, { ...options, log: plot.x.log ?? false, room: 36 })
    : (plot.x.log ? logScale : linearScale)(xs, options);
  return [x, y, { x: left, y: top, width: right - left, height: bottom - top }];
}

function axes(plot: LinePlot, x: Scale, y: Scale, area: Box, width: number): string[] {
  const bottom = area.y + area.height;
  const right = area.x + area.width;
  return [
    text(0, FONT, plot.y.label, { class: 'axis' }),
    ...y.ticks.flatMap(({ value, text: told }) => [
      element('line', { class: 'grid', x1: area.x, x2: right, y1: y.at(value), y2: y.at(value) }),
      text(area.x - 6, y.at(value) + 4, told, { class: 'tick', 'text-anchor': 'end' }),
    ]),
    element('line', { class: 'base', x1: area.x, x2: right, y1: bottom, y2: bottom }),
    ...x.ticks.flatMap(({ value, text: told }) => [
      element('line', { class: 'base', x1: x.at(value), x2: x.at(value), y1: bottom, y2: bottom + 4 }),
      text(x.at(value), bottom + LINE, told, { class: 'tick', 'text-anchor': 'middle' }),
    ]),
    text(Math.min(right, width), bottom + 2 * LINE, plot.x.label, { class: 'axis', 'text-anchor': 'end' }),
  ];
}

function marks(plot: LinePlot, series: readonly Series[], x: Scale, y: Scale, area: Box): string[] {
  return (plot.marks ?? []).flatMap((mark) => {
    if (mark.kind === 'y') {
      const at = y.at(mark.value);
      const { x: left, y: top } = freePlace(at, textWidth(mark.label, 12), series, x, y, area);
      return [
        element('line', { class: 'mark', x1: area.x, x2: area.x + area.width, y1: at, y2: at }),
        text(left, top + FONT - 1, mark.label, { class: 'note halo' }),
      ];
    }
    const [low, high] = [Math.max(x.domain[0], y.domain[0]), Math.min(x.domain[1], y.domain[1])];
    if (!(high > low)) return [];
    return [
      element('line', { class: 'mark', x1: x.at(low), y1: y.at(low), x2: x.at(high), y2: y.at(high) }),
      text(x.at(high) - 4, y.at(high) - 5, mark.label, { class: 'note halo', 'text-anchor': 'end' }),
    ];
  });
}

/** Above or below a level line, from left to right: where the fewest lines pass. */
function freePlace(at: number, width: number, series: readonly Series[], x: Scale, y: Scale, area: Box): Box {
  const passed = series.flatMap(({ points }) =>
    points.slice(1).flatMap((p, i) => steps(points[i]!, p).map((q) => ({ x: x.at(q.x), y: y.at(q.y) }))),
  );
  const places = [0, 0.25, 0.5, 0.75, 1].flatMap((share) =>
    [at - LINE - 1, at + 3].map((top) => ({
      x: area.x + 3 + share * (area.width - width - 6),
      y: top,
      width,
      height: LINE - 2,
    })),
  );
  const crossings = places.map((box) => passed.filter((point) => covers(box, point)).length);
  return places[crossings.indexOf(Math.min(...crossings))]!;
}

/** Points on the way from one to the other. */
function steps(from: Point, to: Point): Point[] {
  const between = (a: number, b: number, share: number) => a + (b - a) * share;
  return Array.from({ length: 17 }, (_, i) => ({ x: between(from.x, to.x, i / 16), y: between(from.y, to.y, i / 16) }));
}

function band({ key, points }: Series, x: Scale, y: Scale): string {
  const whole = points.filter((p) => Number.isFinite(p.low) && Number.isFinite(p.high));
  if (whole.length < 2) return '';
  const edge = (p: Point, value: number) => `${short(x.at(p.x))},${short(y.at(value))}`;
  const outline = [...whole.map((p) => edge(p, p.high!)), ...whole.toReversed().map((p) => edge(p, p.low!))];
  return element('polygon', { class: `band s-${key}`, points: outline.join(' ') });
}

function line({ key, points }: Series, x: Scale, y: Scale): string {
  const places = points.map((p) => `${short(x.at(p.x))},${short(y.at(p.y))}`);
  return element('g', { class: `s-${key}` }, [
    element('polyline', { class: 'line', points: places.join(' ') }),
    ...points.map((p) => marker(key, x.at(p.x), y.at(p.y), p.says)),
  ]);
}

/** Different in form too, for whom colours are alike. */
const FORMS: Readonly<Record<string, string>> = {
  B: 'M-4-4h8v8h-8z',
  Bprime: 'M0-5.5L5.5 0L0 5.5L-5.5 0z',
  C: 'M0-5.2L5 4h-10z',
  D: 'M0 5.2L5-4h-10z',
  G: 'M-4.5-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z',
  Gkv: 'M-4.5-2.5L-2.5-4.5L4.5 2.5L2.5 4.5zM2.5-4.5L4.5-2.5L-2.5 4.5L-4.5 2.5z',
};
const ROUND = 'M-4.4 0a4.4 4.4 0 1 0 8.8 0a4.4 4.4 0 1 0-8.8 0z';

export function marker(key: string, x: number, y: number, says?: string): string {
  const title = says === undefined ? '' : element('title', {}, escapeText(says));
  return element(
    'path',
    { class: 'marker', transform: `translate(${short(x)} ${short(y)})`, d: FORMS[key] ?? ROUND },
    title,
  );
}

function labels(series: readonly Series[], x: Scale, y: Scale, area: Box, width: number): string[] {
  const anchors: Anchor[] = series.map(({ label, points }) => {
    const last = points.at(-1)!;
    return { x: x.at(last.x), y: y.at(last.y), width: textWidth(label), height: FONT + 2 };
  });
  const points = series.flatMap((s) => s.points.map((p) => ({ x: x.at(p.x), y: y.at(p.y) })));
  const bounds = { x: area.x, y: area.y - 8, width: width - area.x, height: area.height + 16 };
  return placed(anchors, bounds, points).flatMap((box, i) => {
    const { x: px, y: py } = anchors[i]!;
    const middle = box.y + box.height / 2;
    const far = Math.abs(middle - py) > LINE && box.x > px;
    const leader = element('line', { class: 'leader', x1: px + 5, y1: py, x2: box.x - 1, y2: middle });
    const { key, label } = series[i]!;
    return [...(far ? [leader] : []), text(box.x, box.y + FONT - 1, label, { class: `name halo s-${key}` })];
  });
}

/** Labels of lines that end at the same place stand below each other, others where there is room. */
function placed(anchors: readonly Anchor[], bounds: Box, points: readonly { x: number; y: number }[]): Box[] {
  const [first] = anchors;
  if (first === undefined || anchors.some(({ x }) => Math.abs(x - first.x) > 1))
    return placeLabels(anchors, bounds, points);
  const half = first.height / 2;
  const middles = anchors.map(({ y }) => y);
  const tops = spread(middles, first.height, bounds.y + half, bounds.y + bounds.height - half);
  return anchors.map(({ x, width, height }, i) => ({ x: x + LABEL_GAP, y: tops[i]! - half, width, height }));
}

import { linearScale } from './scale.js';
import { drawing, element, escapeText, FONT, text, textWidth } from './svg.js';

export interface RatioBar {
  /** Name of its colour in the page's style. */
  readonly key: string;
  readonly label: string;
  readonly value: number;
  readonly band?: readonly [number, number] | undefined;
  /** What cannot be passed, marked on the bar. */
  readonly limit?: number | undefined;
  /** Behind the number, as how near the limit it is. */
  readonly told: string;
}

const LINE = FONT + 5;

/** One ratio above the other, from 0, with a line where both systems are equal and a mark at each ratio's limit. */
export function ratioBars(bars: readonly RatioBar[], label: string, width: number): string {
  const narrow = width < 560;
  const height = (narrow ? 2 : 1) * LINE + 34;
  const values = bars.flatMap(({ value, limit, band }) => [value, limit ?? 0, band?.[1] ?? 0]);
  const x = linearScale([0, 1, ...values], { from: 0, to: width - 6, count: narrow ? 4 : 8 });
  const bottom = bars.length * height + 4;
  return drawing(width, bottom + LINE + 4, label, [
    ...x.ticks.flatMap(({ value, text: told }) => [
      element('line', { class: 'grid', x1: x.at(value), x2: x.at(value), y1: 0, y2: bottom }),
      text(x.at(value), bottom + LINE - 2, `${told}x`, { class: 'tick', 'text-anchor': anchor(x.at(value), width) }),
    ]),
    element('line', { class: 'mark', x1: x.at(1), x2: x.at(1), y1: 0, y2: bottom }),
    ...bars.flatMap((bar, i) => ratioBar(bar, i * height, x.at, narrow)),
  ]);
}

const anchor = (x: number, width: number) => (x < 12 ? 'start' : x > width - 16 ? 'end' : 'middle');

function ratioBar(bar: RatioBar, top: number, at: (value: number) => number, narrow: boolean): string[] {
  const bottom = top + (narrow ? 2 : 1) * LINE + 5;
  const middle = bottom + 9;
  const { band, limit } = bar;
  return [
    element('text', { class: 'label halo', x: 0, y: top + FONT + 2 }, [
      escapeText(bar.label),
      element(
        'tspan',
        { class: 'value', ...(narrow ? { x: 0, dy: LINE } : { dx: 10 }) },
        escapeText(`${threeDigits(bar.value)}x`),
      ),
      element('tspan', { class: 'axis', dx: 6 }, escapeText(bar.told)),
    ]),
    element('rect', {
      class: `bar s-${bar.key}`,
      x: 0,
      y: bottom,
      width: Math.max(0, at(bar.value)),
      height: 18,
      rx: 2,
    }),
    ...(band === undefined
      ? []
      : ['whisker under', 'whisker'].map((kind) =>
          element('path', { class: kind, d: whisker(at(band[0]), at(band[1]), middle) }),
        )),
    ...(limit === undefined
      ? []
      : [element('line', { class: 'limit', x1: at(limit), x2: at(limit), y1: bottom - 4, y2: bottom + 22 })]),
  ];
}

const whisker = (from: number, to: number, y: number) =>
  `M${from.toFixed(1)} ${y - 4}v8M${from.toFixed(1)} ${y}H${to.toFixed(1)}M${to.toFixed(1)} ${y - 4}v8`;

export interface StackedBar {
  readonly label: string;
  readonly parts: readonly { readonly key: string; readonly name: string; readonly value: number }[];
}

/** Parts of a whole beside each other, one whole a row; the unit is told behind the sums. */
export function stackedBars(bars: readonly StackedBar[], label: string, unit: string, width: number): string {
  const narrow = width < 560;
  const left = narrow ? 0 : 12 + Math.max(...bars.map((bar) => textWidth(bar.label)));
  const height = narrow ? LINE + 30 : 32;
  const sum = (bar: StackedBar) => bar.parts.reduce((total, { value }) => total + length(value), 0);
  const told = (bar: StackedBar) => `${threeDigits(sum(bar))} ${unit}`;
  const right = width - 10 - Math.max(...bars.map((bar) => textWidth(told(bar))));
  const most = Math.max(...bars.map(sum), Number.MIN_VALUE);
  const at = (value: number) => left + (value / most) * (right - left);
  return drawing(
    width,
    bars.length * height,
    label,
    bars.flatMap((bar, i) => {
      const top = i * height + (narrow ? LINE : 4);
      const name = narrow
        ? text(0, i * height + FONT, bar.label, { class: 'label' })
        : text(left - 10, top + 16, bar.label, { class: 'label', 'text-anchor': 'end' });
      let from = 0;
      const parts = bar.parts.flatMap(({ key, name: part, value }) => {
        const [x, room] = [at(from), at(length(value)) - left];
        from += length(value);
        const says = element('title', {}, escapeText(`${part}: ${threeDigits(value)} ${unit}`));
        const inner = threeDigits(value);
        return [
          element('rect', { class: `bar part s-${key}`, x, y: top, width: room, height: 22 }, says),
          ...(room > textWidth(inner) + 8
            ? [text(x + room / 2, top + 16, inner, { class: `inner i-${key}`, 'text-anchor': 'middle' })]
            : []),
        ];
      });
      return [name, ...parts, text(at(sum(bar)) + 6, top + 16, told(bar), { class: 'value' })];
    }),
  );
}

const length = (value: number) => (Number.isFinite(value) ? Math.max(0, value) : 0);

/** As many digits as a reader takes in. */
export function threeDigits(value: number): string {
  if (!Number.isFinite(value)) return 'unknown';
  const rounded = Number(value.toPrecision(3));
  return Math.abs(rounded) >= 1000 ? Math.round(value).toLocaleString('en-US') : String(rounded);
}

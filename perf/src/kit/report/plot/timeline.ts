import type { Span } from '../findings.js';
import { threeDigits } from './bars.js';
import { linearScale } from './scale.js';
import { drawing, element, FONT, text, textWidth } from './svg.js';

const LINE = FONT + 6;
const INDENT = 10;

/** Spans of one request, a row each, in the order of their begins; those that lie inside another are set in. */
export function timeline(spans: readonly Span[], label: string, width: number): string {
  const whole = spans.filter(
    ({ startMs, endMs }) => Number.isFinite(startMs) && Number.isFinite(endMs) && endMs >= startMs,
  );
  const rows = [...whole].sort((a, b) => a.startMs - b.startMs || b.endMs - a.endMs);
  const narrow = width < 560;
  const depths = rows.map((row, i) => rows.slice(0, i).filter((outer) => contains(outer, row)).length);
  const names = rows.map((row, i) => ({
    name: `${row.name}, ${row.process}`,
    indent: Math.min(4, depths[i]!) * INDENT,
  }));
  const left = narrow
    ? 4
    : 16 + Math.min(320, Math.max(0, ...names.map(({ name, indent }) => textWidth(name) + indent)));
  const x = linearScale([0, ...rows.map(({ endMs }) => endMs)], { from: left, to: width - 56, count: narrow ? 4 : 8 });
  const height = narrow ? LINE + 20 : 24;
  const bottom = rows.length * height;
  return drawing(width, bottom + LINE + 6, label, [
    ...x.ticks.flatMap(({ value, text: told }) => [
      element('line', { class: 'grid', x1: x.at(value), x2: x.at(value), y1: 0, y2: bottom }),
      text(x.at(value), bottom + LINE, `${told} ms`, {
        class: 'tick',
        'text-anchor': value === 0 ? 'start' : 'middle',
      }),
    ]),
    ...rows.flatMap((row, i) => {
      const top = i * height + (narrow ? LINE : 4);
      const { name, indent } = names[i]!;
      const length = Math.max(1.5, x.at(row.endMs) - x.at(row.startMs));
      return [
        narrow
          ? text(indent, i * height + FONT + 2, name, { class: 'label halo' })
          : text(indent, top + 13, name, { class: 'label' }),
        element('rect', {
          class: `bar k-${row.kind}`,
          x: x.at(row.startMs),
          y: top,
          width: length,
          height: 16,
          rx: 1.5,
        }),
        text(x.at(row.startMs) + length + 5, top + 13, told(row.endMs - row.startMs), { class: 'value halo' }),
      ];
    }),
  ]);
}

/** Hundredths of a ms at most, except of what is shorter: no clock here tells more. */
const told = (ms: number) =>
  ms >= 1 ? threeDigits(ms) : String(Number(ms < 0.01 ? ms.toPrecision(1) : ms.toFixed(2)));

const contains = (outer: Span, inner: Span) => outer.startMs <= inner.startMs && outer.endMs >= inner.endMs;

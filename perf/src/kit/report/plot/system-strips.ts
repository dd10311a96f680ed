import type { Shape, SystemName } from '../../measurements.js';
import { flops } from '../compute.js';
import { drawing, element, FONT, text, textWidth } from './svg.js';

type Pass = { readonly kind: 'encode' | 'append' | 'rank' | 'held'; readonly width: number; readonly says: string };

/** Which passes over the history a system makes for a page, and which it has held already. `back`: the person was here before. */
function passes(system: SystemName, back: boolean, shape: Shape): Pass[] {
  const { n, k } = shape;
  const encode = flops(shape, n, n);
  const rank = flops(shape, k, n);
  const all = (says: string): Pass => ({ kind: 'encode', width: encode, says });
  const append = flops(shape, 2, n);
  const held = (says: string, width = encode): Pass => ({ kind: 'held', width, says });
  const few: Pass = { kind: 'append', width: append, says: '' };
  const keeps = ['A', 'D', 'Gkv', 'Bprime'].includes(system);
  const once = (says: string) => (back && keeps ? [few, held('kept', encode - append)] : [all(says)]);
  const second = system === 'B' || system === 'Bprime' ? once('again') : [held('shared')];
  return [...once('encode'), ...second, { kind: 'rank', width: rank, says: 'rank' }];
}

/** For each system the passes of a person's first page and of a later one, their widths by FLOPs; what is saved is an empty box. */
export function systemStrips(
  systems: readonly { name: SystemName; label: string }[],
  shape: Shape,
  width: number,
): string {
  const narrow = width < 560;
  const left = narrow ? 74 : 96 + Math.max(...systems.map(({ label }) => textWidth(label)));
  const total = passes('B', false, shape).reduce((sum, pass) => sum + pass.width, 0);
  const scale = (width - left - 2) / total;
  const top = narrow ? FONT + 8 : 4;
  const height = narrow ? 78 : 62;
  return drawing(
    width,
    systems.length * height,
    'Passes of the model that each system makes',
    systems.flatMap(({ name, label }, i) => {
      const y = i * height + top;
      return [
        narrow
          ? text(0, i * height + FONT + 1, label, { class: `name s-${name}` })
          : text(0, y + 26, label, { class: `name s-${name}` }),
        ...[false, true].flatMap((back, row) => {
          const at = y + row * 25;
          const told = back ? 'later page' : 'first page';
          return [
            text(left - 8, at + 15, told, { class: 'tick', 'text-anchor': 'end' }),
            ...strip(passes(name, back, shape), left, at, scale),
          ];
        }),
      ];
    }),
  );
}

/** Narrowest box that is seen; what it takes is taken from the next one. */
const LEAST = 4;

function strip(row: readonly Pass[], left: number, top: number, scale: number): string[] {
  let end = left;
  let sum = 0;
  return row.flatMap(({ kind, width, says }) => {
    sum += width;
    const x = end;
    end = Math.max(left + sum * scale, x + LEAST);
    const room = end - x;
    const box = element('rect', { class: `pass ${kind}`, x: x + 0.5, y: top, width: room - 1.5, height: 21, rx: 2 });
    if (says === '' || room < textWidth(says) + 6) return [box];
    const inner = { class: kind === 'held' ? 'tick' : 'inner', 'text-anchor': 'middle' };
    return [box, text(x + room / 2, top + 15, says, inner)];
  });
}

import { CPU_PARTS, type FlameFrame } from '../findings.js';
import { FLAME_STYLE } from '../page-style.js';
import { PART_COLOURS } from '../words.js';
import { threeDigits } from './bars.js';
import { drawing, element, escapeText, short, text } from './svg.js';

const ROW = 16;
/** Of a letter in a frame, all of the same width. */
const LETTER = 6.7;
const PAD = 4;
/** Narrower frames would be a haze. */
const NARROWEST = 0.8;
/** Letters of a name that say more than none. */
const SHORTEST_NAME = 3;

interface Placed {
  readonly frame: FlameFrame;
  readonly depth: number;
  readonly x: number;
  readonly width: number;
}

export const flameKey = (frame: Pick<FlameFrame, 'part'>) => `f${PART_COLOURS[frame.part]}`;

/** What most of the CPU is for, by the frames' own time; undefined of no frames. */
export function flameMost(frames: readonly FlameFrame[]): { part: FlameFrame['part']; ms: number } | undefined {
  const sums = new Map<FlameFrame['part'], number>();
  const add = ({ part, ms, inner }: FlameFrame) => {
    sums.set(part, (sums.get(part) ?? 0) + Math.max(0, finite(ms) - flameMs(inner)));
    inner.forEach(add);
  };
  frames.forEach(add);
  const [most] = [...sums].sort(([, a], [, b]) => b - a);
  return most && { part: most[0], ms: most[1] };
}

/** CPU of all frames, in ms a page. */
export const flameMs = (frames: readonly FlameFrame[]) => frames.reduce((sum, { ms }) => sum + finite(ms), 0);

/** Callers below, what they called above them, as wide as the CPU that went into it. Colours say what a frame is for. */
export function flameGraph(frames: readonly FlameFrame[], label: string, width: number): string {
  const { height, content } = drawn(frames, width);
  return drawing(width, height, label, content, 'flame');
}

/** The same as a file of its own, with its title and the meaning of its colours. */
export function flameFile(frames: readonly FlameFrame[], title: string, width = 1200): string {
  const { height, content } = drawn(frames, width - 2 * MARGIN);
  const used = new Set(partsOf(frames));
  const legend = placeLegend(
    CPU_PARTS.filter((part) => used.has(part)),
    width - 2 * MARGIN,
  );
  const top = MARGIN + TITLE + legend.height;
  const body = [
    element('style', {}, `${FILE_STYLE}${FLAME_STYLE}`),
    element('title', {}, escapeText(title)),
    element('rect', { class: 'paper', x: 0, y: 0, width, height: top + height + MARGIN }),
    text(MARGIN, MARGIN + 14, title, { class: 'head' }),
    element('g', { transform: `translate(${MARGIN} ${MARGIN + TITLE})` }, legend.content),
    element('g', { class: 'flame', transform: `translate(${MARGIN} ${short(top)})` }, content),
  ];
  const size = `0 0 ${short(width)} ${short(top + height + MARGIN)}`;
  return `${element('svg', { xmlns: 'http://www.w3.org/2000/svg', viewBox: size, width, role: 'img' }, body)}\n`;
}

const MARGIN = 16;
const TITLE = 26;
/** Without variables, which not every viewer of drawings knows. */
const FILE_STYLE = `.paper{fill:#fdfdfc}.head,.key{fill:#1d1d1b;font:600 15px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}.key{font-size:12.5px;font-weight:400}
@media (prefers-color-scheme:dark){.paper{fill:#171716}.head,.key{fill:#ecebe7}}
`;

function placeLegend(parts: readonly FlameFrame['part'][], width: number): { height: number; content: string[] } {
  let [x, y] = [0, 0];
  const content = parts.flatMap((part) => {
    const room = 30 + part.length * 7.6;
    if (x + room > width) [x, y] = [0, y + 20];
    const entry = [
      element('rect', { class: flameKey({ part }), x, y, width: 12, height: 12, rx: 2 }),
      text(x + 17, y + 11, part, { class: 'key' }),
    ];
    x += room;
    return entry;
  });
  return { height: y + 26, content };
}

function partsOf(frames: readonly FlameFrame[]): FlameFrame['part'][] {
  return frames.flatMap(({ part, inner }) => [part, ...partsOf(inner)]);
}

function drawn(frames: readonly FlameFrame[], width: number): { height: number; content: string[] } {
  const all = flameMs(frames);
  const placed = all > 0 ? place(frames, { x: 0, depth: 0 }, width / all) : [];
  const rows = 1 + Math.max(0, ...placed.map(({ depth }) => depth));
  return { height: rows * ROW, content: placed.map((one) => frameOf(one, rows, all)) };
}

function place(frames: readonly FlameFrame[], from: { x: number; depth: number }, pixelsPerMs: number): Placed[] {
  let { x } = from;
  return frames.flatMap((frame) => {
    const at = { frame, depth: from.depth, x, width: finite(frame.ms) * pixelsPerMs };
    x += at.width;
    if (at.width < NARROWEST) return [];
    return [at, ...place(frame.inner, { x: at.x, depth: from.depth + 1 }, pixelsPerMs)];
  });
}

function frameOf({ frame, depth, x, width }: Placed, rows: number, all: number): string {
  const y = (rows - 1 - depth) * ROW;
  const { name, where, ms, part } = frame;
  const share = `${threeDigits((100 * ms) / all)}%`;
  const says = [name, where, `${threeDigits(ms)} ms a page, ${share}; ${part}`].filter((line) => line !== undefined);
  const letters = Math.floor((width - 2 * PAD) / LETTER);
  const told = name.length <= letters ? name : `${name.slice(0, letters - 1)}…`;
  return element('g', {}, [
    element('title', {}, escapeText(says.join('\n'))),
    element('rect', { class: flameKey(frame), x, y, width, height: ROW }),
    ...(letters >= SHORTEST_NAME ? [text(x + PAD, y + 11.5, told)] : []),
  ]);
}

const finite = (ms: number) => (Number.isFinite(ms) && ms > 1e-9 ? ms : 0);

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CPU_PARTS, type FlameFrame } from '../findings.js';
import { flameFile, flameGraph } from './flame-graph.js';

const { frame } = fc.letrec<{ frame: FlameFrame }>((tie) => ({
  frame: fc.record({
    name: fc.oneof(fc.constantFrom('<anonymous>', 'a & "b"', 'onReceiveMessage'), fc.string()),
    where: fc.string(),
    part: fc.constantFrom(...CPU_PARTS),
    ms: fc.oneof(fc.double({ min: 0, max: 10, noNaN: true }), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY)),
    inner: fc.oneof({ depthSize: 'small' }, fc.constant([]), fc.array(tie('frame'), { maxLength: 2 })),
  }),
}));

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}
const boxesOf = (svg: string): Box[] =>
  [...svg.matchAll(/<rect class="f\d" x="([^"]*)" y="([^"]*)" width="([^"]*)"/g)].map(([, x, y, width]) => ({
    x: Number(x),
    y: Number(y),
    width: Number(width),
  }));

/** Inner frames are never wider than what called them, as in any profile. */
function settled(one: FlameFrame, most = Number.POSITIVE_INFINITY): FlameFrame {
  const ms = Math.min(Number.isFinite(one.ms) ? one.ms : 0, most);
  return { ...one, ms, inner: one.inner.map((inner) => settled(inner, ms / one.inner.length)) };
}

test('every drawing is whole markup, and of a true profile no frame lies on another or outside of the drawing', () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 4 }), fc.constantFrom(360, 900), (frames, width) => {
      for (const svg of [flameGraph(frames, 'CPU', width), flameFile(frames, 'CPU of <gateway>', width)]) {
        expect(svg).not.toMatch(/NaN|Infinity|="undefined"|<anonymous>|<gateway>/);
        expect(svg.match(/<g[ >]/g)?.length).toBe(svg.match(/<\/g>/g)?.length);
      }
      const boxes = boxesOf(
        flameGraph(
          frames.map((one) => settled(one)),
          'CPU',
          width,
        ),
      );
      for (const [i, a] of boxes.entries()) {
        expect(a.x + a.width).toBeLessThanOrEqual(width + 0.1);
        expect(a.y).toBeGreaterThanOrEqual(0);
        const over = boxes
          .slice(i + 1)
          .find((b) => b.y === a.y && b.x < a.x + a.width - 0.1 && a.x < b.x + b.width - 0.1);
        expect(over).toBeUndefined();
      }
    }),
    { seed: 7, numRuns: 100 },
  );
});

test('a file stands alone: namespace, both colour schemes, names and what they are for', () => {
  const inner: FlameFrame = { name: 'decode', where: 'libs/x.js', part: 'protobuf messages', ms: 1, inner: [] };
  const svg = flameFile([{ name: 'main', part: 'other JavaScript', ms: 4, inner: [inner] }], 'CPU of gateway');
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  expect(svg).toContain('prefers-color-scheme:dark');
  expect(svg).toContain('decode\nlibs/x.js\n1 ms a page, 25%; protobuf messages');
  expect(svg).not.toMatch(/<script|href=|url\(/);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { overlap, placeLabels, spread } from './labels.js';

const bounds = { x: 0, y: 0, width: 400, height: 260 };

test('labels of up to seven lines stand within the drawing and on no other label', () => {
  const point = fc.record({ x: fc.integer({ min: 20, max: 330 }), y: fc.integer({ min: 10, max: 250 }) });
  fc.assert(
    fc.property(fc.array(point, { minLength: 1, maxLength: 7 }), (points) => {
      const boxes = placeLabels(
        points.map((p) => ({ ...p, width: 50, height: 15 })),
        bounds,
        points,
      );
      for (const [i, box] of boxes.entries()) {
        expect(boxes.some((other, j) => j !== i && overlap(box, other))).toBe(false);
        expect(box.x).toBeGreaterThanOrEqual(0);
        expect(box.y).toBeGreaterThanOrEqual(0);
        expect(box.x + box.width).toBeLessThanOrEqual(400);
        expect(box.y + box.height).toBeLessThanOrEqual(260);
      }
    }),
    { seed: 6 },
  );
});

test('values are spread in their order, far enough, within bounds, and those that need not move do not', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 260 }), { maxLength: 10 }), (values) => {
      const moved = spread(values, 15, 0, 260);
      const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
      const sorted = order.map((i) => moved[i]!);
      for (const [i, value] of sorted.entries()) {
        expect(value).toBeGreaterThanOrEqual(-1e-9);
        expect(value).toBeLessThanOrEqual(260 + 1e-9);
        if (i > 0) expect(value - sorted[i - 1]!).toBeGreaterThanOrEqual(15 - 1e-9);
      }
      const apart = order.every((at, i) => i === 0 || values[at]! - values[order[i - 1]!]! >= 15);
      if (apart) expect(moved.map((v) => Math.round(v))).toEqual(values);
    }),
    { seed: 6 },
  );
  expect(spread([10, 10], 10, 0, 100)).toEqual([5, 15]);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { kvFlopRatio, type PassShape, passFlops } from './flops.js';

const PAPER: PassShape = { layers: 12, width: 768, n: 992, k: 656, contexts: 1, slates: 1 };

test('the shape of the paper has nearly the ratio of its tokens, less where the masked half of the past counts for nothing', () => {
  // Eleven layers and a sixth of the past, twelve of the slate.
  expect(kvFlopRatio(PAPER, 'whole')).toBeCloseTo(1 + ((11 + 1 / 6) * 992) / (12 * (1 + 656)), 1);
  expect(kvFlopRatio(PAPER, 'whole')).toBeCloseTo(2.4, 2);
  expect(kvFlopRatio(PAPER, 'half')).toBeCloseTo(2.28, 2);
});

test('a tiny pass, counted by hand', () => {
  const tiny: PassShape = { layers: 2, width: 4, n: 3, k: 2, contexts: 1, slates: 1 };
  const [rows, pairs] = [(count: number) => 24 * count * 16, (count: number) => 4 * count * 4];
  // In the last layer keys and values of all rows, and the rest of the last one, which sees all tokens.
  const last = (count: number) => 4 * count * 16 + 20 * 16 + pairs(3);
  expect(passFlops('encode', tiny, 'half')).toBe(rows(3) + pairs(1 + 2 + 3) + last(3));
  expect(passFlops('encode', tiny, 'whole')).toBe(rows(3) + pairs(9) + last(3));
  expect(passFlops('append', tiny, 'half', 2)).toBe(rows(2) + pairs(2 + 3) + last(2));
  const ranked = 2 * (rows(3) + pairs(4 + 5 + 5));
  expect(passFlops('rank', tiny, 'half')).toBe(ranked);
  expect(passFlops('recompute', tiny, 'half')).toBe(rows(3) + pairs(1 + 2 + 3) + 4 * 3 * 16 + ranked);
});

const shapes = fc.record({
  layers: fc.integer({ min: 1, max: 24 }),
  width: fc.integer({ min: 2, max: 2048 }),
  n: fc.integer({ min: 1, max: 4096 }),
  k: fc.integer({ min: 1, max: 2000 }),
  contexts: fc.integer({ min: 1, max: 8 }),
  slates: fc.integer({ min: 1, max: 8 }),
});

test('recomputing is encoding, without the last row of the last layer, and ranking; appending all is encoding, and a half is less than the whole', () => {
  fc.assert(
    fc.property(shapes, fc.constantFrom('whole' as const, 'half' as const), (shape, triangle) => {
      const flops = (kind: 'encode' | 'rank' | 'recompute') => passFlops(kind, shape, triangle);
      const lastRow = 20 * shape.width ** 2 + 4 * shape.n * shape.width;
      expect(flops('recompute')).toBeCloseTo(flops('encode') - lastRow + flops('rank'), -3);
      expect(passFlops('append', shape, triangle, shape.n)).toBe(flops('encode'));
      expect(kvFlopRatio(shape, 'half')).toBeLessThanOrEqual(kvFlopRatio(shape, 'whole'));
      expect(kvFlopRatio(shape, 'half')).toBeGreaterThan(1);
    }),
  );
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { kvFlopRatio, type PassShape, passFlops } from './flops.js';

const PAPER: PassShape = { layers: 12, width: 768, n: 992, k: 656, contexts: 1, slates: 1 };

test('the shape of the paper has the ratio of its tokens, less where the masked half of the past counts for nothing', () => {
  expect(kvFlopRatio(PAPER, 'whole')).toBeCloseTo((992 + 1 + 656) / (1 + 656), 2);
  expect(kvFlopRatio(PAPER, 'half')).toBeCloseTo(2.38, 2);
});

test('a tiny pass, counted by hand', () => {
  const tiny: PassShape = { layers: 2, width: 4, n: 3, k: 2, contexts: 1, slates: 1 };
  const rows = (count: number) => 2 * 24 * count * 16;
  const pairs = (count: number) => 2 * 4 * count * 4;
  expect(passFlops('encode', tiny, 'half')).toBe(rows(3) + pairs(1 + 2 + 3));
  expect(passFlops('encode', tiny, 'whole')).toBe(rows(3) + pairs(9));
  expect(passFlops('append', tiny, 'half', 2)).toBe(rows(2) + pairs(2 + 3));
  expect(passFlops('rank', tiny, 'half')).toBe(rows(3) + pairs(4 + 5 + 5));
});

const shapes = fc.record({
  layers: fc.integer({ min: 1, max: 24 }),
  width: fc.integer({ min: 2, max: 2048 }),
  n: fc.integer({ min: 1, max: 4096 }),
  k: fc.integer({ min: 1, max: 2000 }),
  contexts: fc.integer({ min: 1, max: 8 }),
  slates: fc.integer({ min: 1, max: 8 }),
});

test('recomputing is encoding and ranking, appending all is encoding, and a half is less than the whole', () => {
  fc.assert(
    fc.property(shapes, fc.constantFrom('whole' as const, 'half' as const), (shape, triangle) => {
      const flops = (kind: 'encode' | 'rank' | 'recompute') => passFlops(kind, shape, triangle);
      expect(flops('recompute')).toBeCloseTo(flops('encode') + flops('rank'), -3);
      expect(passFlops('append', shape, triangle, shape.n)).toBe(flops('encode'));
      expect(kvFlopRatio(shape, 'half')).toBeLessThanOrEqual(kvFlopRatio(shape, 'whole'));
      expect(kvFlopRatio(shape, 'half')).toBeGreaterThan(1);
    }),
  );
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type BucketShape,
  Buckets,
  encodeWork,
  hasColumns,
  ladder,
  rankWork,
  USUAL_BUCKETS,
  workOf,
} from './buckets.js';

/** The anchor of the papers: L12 d768 n992 k656. */
const LARGE: BucketShape = {
  width: 768,
  pageTokens: 16,
  capacity: 1000,
  contextRows: 8,
  candidates: 656,
  prefill: true,
};
const shape = fc.record({
  width: fc.constantFrom(16, 64, 128, 768),
  pageTokens: fc.constantFrom(4, 16, 32),
  capacity: fc.integer({ min: 32, max: 1200 }),
  contextRows: fc.integer({ min: 1, max: 8 }),
  candidates: fc.integer({ min: 1, max: 800 }),
  prefill: fc.boolean(),
});

test('buckets of the large shape, printed', () => {
  expect(new Buckets(LARGE).describe()).toMatchInlineSnapshot(`
    "532 buckets of encode and 1500 of rank; of a run for one at most 40 % is padding
      people                1 2 4 8
      pages of 16 tokens    1 8 36 62 63
      pages of an encode    1 8 36 62 63 75
      new rows              1 16 21 28 37 49 64 83 108 140 182 236 305 395 511 660 853 992 1008
      slates of a person    1 2 4 8
      context rows          1 8
      candidates            16 21 28 37 49 64 83 108 140 182 236 305 395 511 656"
  `);
});

test('runs that repeat are buckets', () => {
  const buckets = new Buckets(LARGE);
  const { encode, rank } = buckets.list();
  const usual = buckets.usual();
  expect(usual).toHaveLength(12);
  for (const sizes of usual) expect('m' in sizes ? encode : rank).toContainEqual(sizes);
});

test('what requests usually have is a bucket of its own, and no more than the most', () => {
  const many = { ...USUAL_BUCKETS, most: 10_000 };
  const kOf = (usualCandidates: number, k: number) =>
    new Buckets({ ...LARGE, candidates: 2000, usualCandidates }, many).rank({ b: 1, g: 1, s: 1, c: 1, k }).k;
  expect([kOf(200, 200), kOf(200, 201), kOf(200, 183)]).toEqual([200, 236, 200]);
  expect([kOf(3000, 2000), kOf(3000, 200)]).toEqual([2000, 236]);
});

test('every step of a ladder is for what is little smaller, and the last one for the most', () => {
  const sizes = fc.record({
    most: fc.integer({ min: 1, max: 2_000 }),
    padding: fc.double({ min: 0, max: 0.9, noNaN: true }),
    least: fc.integer({ min: 1, max: 64 }),
  });
  fc.assert(
    fc.property(sizes, ({ most, padding, least }) => {
      const steps = ladder(most, padding, Math.min(least, most));
      expect(steps.at(-1)).toBe(most);
      const shares = steps.slice(1).map((step, i) => (step - (steps[i]! + 1)) / step);
      expect(Math.max(0, ...shares)).toBeLessThanOrEqual(padding + 1e-9);
    }),
    { seed: 1, numRuns: 300 },
  );
});

test('no more than the stated share of a run for one is padding, and there are no more buckets than were allowed', () => {
  const ask = fc.record({
    past: fc.double({ min: 0, max: 1, noNaN: true }),
    size: fc.double({ min: 0, max: 1, noNaN: true }),
    c: fc.nat(7),
  });
  fc.assert(
    fc.property(shape, fc.array(ask, { minLength: 1, maxLength: 20 }), (shape, asks) => {
      const buckets = new Buckets(shape);
      const { encode, rank } = buckets.list();
      expect(encode.length + rank.length).toBeLessThanOrEqual(USUAL_BUCKETS.most);
      for (const { past, size, c: contexts } of asks) {
        const n = Math.floor(past * (shape.capacity - shape.contextRows));
        const k = Math.min(shape.candidates, 16) + Math.floor(size * Math.max(0, shape.candidates - 16));
        const c = 1 + (contexts % shape.contextRows);
        const g = Math.max(1, Math.ceil(n / shape.pageTokens));
        const ranked = buckets.rank({ b: 1, s: 1, g, c, k });
        expect(rank).toContainEqual(ranked);
        const real = workOf(shape, ranked.c + k, Math.max(n, shape.pageTokens) + ranked.c);
        // A page is not more finely divided: what it rounds up is not the bucket's padding.
        const slack = (shape.pageTokens / (6 * shape.width)) * 1.01;
        expect(1 - real / rankWork(shape, ranked)).toBeLessThanOrEqual(buckets.padding + slack);
        const m = Math.min(shape.capacity - n, shape.pageTokens + Math.floor(size * (shape.capacity - n)));
        if (m < shape.pageTokens) continue;
        const isFirst = n === 0 && shape.prefill;
        const encoded = buckets.encode({ b: 1, g: isFirst ? 0 : Math.ceil((n + m) / shape.pageTokens), m }, n);
        expect(encode).toContainEqual(encoded);
        expect(hasColumns(shape, encoded, n)).toBe(true);
        // Rows of padding have columns too.
        const asked = workOf(shape, m, n + encoded.m);
        expect(1 - asked / encodeWork(shape, encoded)).toBeLessThanOrEqual(buckets.padding + slack);
      }
    }),
    { seed: 2, numRuns: 200 },
  );
});

test('where there would be too many buckets they are coarser, and say so', () => {
  const few = new Buckets(LARGE, { ...USUAL_BUCKETS, most: 600 });
  const { encode, rank } = few.list();
  expect(encode.length + rank.length).toBeLessThanOrEqual(600);
  expect(few.padding).toBeGreaterThan(USUAL_BUCKETS.padding);
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keepLargest } from './largest.js';
import { plainRows, simdRows } from './row-products.js';

const int8 = fc.integer({ min: -128, max: 127 });

describe('int8 products', () => {
  test('by SIMD are the plain ones, of any dimension and any range of rows', () => {
    const shape = fc.record({ dimension: fc.integer({ min: 1, max: 70 }), count: fc.integer({ min: 1, max: 20 }) });
    const cases = shape.chain(({ dimension, count }) =>
      fc.record({
        dimension: fc.constant(dimension),
        rows: fc.array(int8, { minLength: dimension * count, maxLength: dimension * count }),
        query: fc.array(int8, { minLength: dimension, maxLength: dimension }),
        ranges: fc.array(fc.tuple(fc.nat(count), fc.nat(count)), { minLength: 1, maxLength: 3 }),
      }),
    );
    fc.assert(
      fc.property(cases, ({ dimension, rows, query, ranges }) => {
        const segment = { dimension, rows: Int8Array.from(rows) };
        const [simd, plain] = [simdRows(segment), plainRows(segment)];
        for (const opened of [simd, plain]) {
          opened.setQuery(Int8Array.from(query));
          for (const [a, b] of ranges) opened.multiply(Math.min(a, b), Math.max(a, b));
        }
        for (const [a, b] of ranges) {
          const [start, end] = [Math.min(a, b), Math.max(a, b)];
          expect(simd.products.slice(start, end)).toEqual(plain.products.slice(start, end));
        }
      }),
      { seed: 31, numRuns: 300 },
    );
  });

  test('of a dimension whose kernel needs long numbers, at the ends of their range', () => {
    const segment = { dimension: 1500, rows: new Int8Array(5 * 1500).fill(-128) };
    const rows = simdRows(segment);
    rows.setQuery(new Int8Array(1500).fill(-128));
    rows.multiply(0, 5);
    expect([...rows.products]).toEqual(Array(5).fill(1500 * 128 * 128));
  });

  test('of a shard beyond the memory of the kernel are refused in one sentence', () => {
    const rows = { length: 2 ** 33 } as Int8Array;
    expect(() => simdRows({ dimension: 64, rows })).toThrow(
      '134217728 items of dimension 64 is too large: use more shards',
    );
  });
});

test('the largest products are kept, and besides them only such as are near to the last', () => {
  const products = fc.array(
    fc.oneof(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -(2 ** 30), max: 2 ** 30 - 1 })),
    {
      minLength: 1,
      maxLength: 60,
    },
  );
  fc.assert(
    fc.property(products, fc.nat(70), fc.nat(70), (list, n, wanted) => {
      const all = Int32Array.from(list);
      const given = [...all.keys()].slice(0, Math.max(1, n));
      const positions = Uint32Array.from(given);
      const kept = [...positions.subarray(0, keepLargest(all, positions, given.length, wanted))];
      expect(new Set(kept).size).toBe(kept.length);
      expect(kept.every((position) => given.includes(position))).toBe(true);
      const order = given.map((position) => all[position]!).sort((a, b) => b - a);
      expect(kept.length).toBeGreaterThanOrEqual(Math.min(wanted, given.length));
      const range = order[0]! - order.at(-1)!;
      const last = wanted === 0 ? order[0]! : order[Math.min(wanted, order.length) - 1]!;
      for (const position of given) {
        if (kept.includes(position)) expect(all[position]!).toBeGreaterThanOrEqual(last - range / 1024);
        else expect(all[position]!).toBeLessThan(wanted === 0 ? Infinity : last);
      }
    }),
    { seed: 32, numRuns: 1000 },
  );
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allFiniteF16, dotF16, narrowF16, narrowF16Row, widenF16, widenF16Row } from './float16.js';

/** Every finite non-negative float16 in order, by the standard's definition: bits are their own rank. */
const FINITE = Array.from({ length: 0x7c00 }, (_, bits) => {
  const exponent = bits >> 10;
  const fraction = bits % 1024;
  return exponent === 0 ? (fraction / 1024) * 2 ** -14 : (1 + fraction / 1024) * 2 ** (exponent - 15);
});

/** Nearest by search over all values, ties to the even bits; past the largest, the next step counts as infinity. */
function nearest(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  let low = 0;
  let high = FINITE.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (FINITE[middle]! <= magnitude) low = middle;
    else high = middle - 1;
  }
  const above = FINITE[low + 1] ?? 65536;
  const [down, up] = [magnitude - FINITE[low]!, above - magnitude];
  return sign | (down < up || (down === up && low % 2 === 0) ? low : low + 1);
}

describe('float16', () => {
  test('widening is the standard definition, for all 65,536', () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      expect(widenF16(bits)).toBe(FINITE[bits]);
      expect(widenF16(bits | 0x8000)).toBe(-FINITE[bits]!);
    }
    expect(widenF16(0x7c00)).toBe(Infinity);
    expect(widenF16(0xfc00)).toBe(-Infinity);
    expect(widenF16(0x7e01)).toBeNaN();
  });

  test('narrowing undoes widening', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      if (!Number.isNaN(widenF16(bits))) expect(narrowF16(widenF16(bits))).toBe(bits);
    }
  });

  test('narrowing is the nearest value, ties to even', () => {
    const anyFloat = fc.oneof(
      fc.float(),
      fc.float({ min: Math.fround(-1.5), max: Math.fround(1.5) }),
      fc.float({ min: Math.fround(-1e-4), max: Math.fround(1e-4) }),
    );
    fc.assert(
      fc.property(anyFloat, (value) => {
        expect(narrowF16(value)).toBe(nearest(value));
      }),
      { seed: 16, numRuns: 20_000 },
    );
  });

  test('exact ties and their neighbours', () => {
    const [float, bits] = [new Float32Array(1), new Uint32Array(1)];
    for (let rank = 0; rank < 0x7c00; rank++) {
      const middle = (FINITE[rank]! + (FINITE[rank + 1] ?? 65536)) / 2;
      float[0] = middle;
      bits.set(new Uint32Array(float.buffer));
      for (const step of [-1, 0, 1]) {
        new Uint32Array(float.buffer)[0] = bits[0]! + step;
        if (narrowF16(float[0]!) !== nearest(float[0]!)) expect.fail(`${float[0]} narrowed wrongly`);
      }
    }
  });

  test('rows', () => {
    const source = Float32Array.of(1, -0.333251953125, 2 ** -24, 0, 70000);
    const bits = narrowF16Row(source.subarray(1, 4), new Uint16Array(3));
    expect([...widenF16Row(bits, new Float32Array(3))]).toEqual([-0.333251953125, 2 ** -24, 0]);
    expect(allFiniteF16(bits)).toBe(true);
    expect(allFiniteF16(narrowF16Row(source, new Uint16Array(5)))).toBe(false);
  });
  test('inner products are the widened ones, subnormal numbers included', () => {
    const finite = fc.integer({ min: 0, max: 0xffff }).filter((bits) => (bits & 0x7c00) !== 0x7c00);
    const pairs = fc.array(fc.tuple(fc.float({ min: -1, max: 1, noNaN: true }), finite), {
      minLength: 1,
      maxLength: 9,
    });
    fc.assert(
      fc.property(pairs, (list) => {
        const query = Float32Array.from(list, ([q]) => q);
        const row = Uint16Array.from([7, 7, 7, ...list.map(([, bits]) => bits)]);
        const exact = list.reduce((sum, [q, bits]) => sum + q * widenF16(bits), 0);
        const size = list.reduce((sum, [q, bits]) => sum + Math.abs(q * widenF16(bits)), 0);
        expect(Math.abs(dotF16(query, row, 3) - exact)).toBeLessThanOrEqual(size * 2 ** -23 + 2 ** -149);
      }),
      { seed: 3, numRuns: 2000 },
    );
  });

  test('inner products are four sums of the widened numbers to the last bit, whatever the size of the query', () => {
    const finite = fc.integer({ min: 0, max: 0xffff }).filter((bits) => (bits & 0x7c00) !== 0x7c00);
    const number = fc.float({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(number, finite), { minLength: 1, maxLength: 11 }), (list) => {
        const sums = [0, 0, 0, 0];
        for (const [i, [q, bits]] of list.entries()) {
          // What a whole four leaves over goes to the first sum.
          const sum = i < list.length - (list.length % 4) ? i % 4 : 0;
          sums[sum] = sums[sum]! + q * widenF16(bits);
        }
        const row = Uint16Array.from(list, ([, bits]) => bits);
        const score = dotF16(
          Float32Array.from(list, ([q]) => q),
          row,
          0,
        );
        expect(score).toBe(Math.fround(sums[0]! + sums[1]! + (sums[2]! + sums[3]!)));
      }),
      { seed: 34, numRuns: 5000 },
    );
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Divided, mostUsual } from './usual-request.js';

/** A request of an encode and a rank. */
function request(encode: number, rank: number): Divided {
  const part = { process: 'p', kind: 'compute' } as const;
  return {
    ms: encode + rank,
    parts: [
      { ...part, name: 'encode', startMs: 0, endMs: encode },
      { ...part, name: 'rank', startMs: encode, endMs: encode + rank },
    ],
  };
}

test('not the one of median length that had an accident, but one that is like the others', () => {
  const usual = Array.from({ length: 20 }, (_, i) => request(2 + i / 10, 8 + i / 10));
  const accident = request(9, 2.9);
  expect(mostUsual([...usual, accident])?.parts[0]?.endMs).toBeCloseTo(3, 0);
  expect(mostUsual([accident])).toBe(accident);
  expect(mostUsual([])).toBeUndefined();
});

test('it is always one of the middle by length', () => {
  const ms = fc.double({ min: 0, max: 50, noNaN: true });
  fc.assert(
    fc.property(fc.array(fc.tuple(ms, ms), { minLength: 5, maxLength: 40 }), (some) => {
      const requests = some.map(([encode, rank]) => request(encode, rank));
      const lengths = requests.map((one) => one.ms).sort((a, b) => a - b);
      const chosen = mostUsual(requests)!.ms;
      expect(chosen).toBeGreaterThanOrEqual(lengths[Math.floor(0.4 * lengths.length)]!);
      expect(chosen).toBeLessThanOrEqual(lengths[lengths.length - 1 - Math.floor(0.4 * lengths.length)]!);
    }),
    { seed: 2, numRuns: 200 },
  );
});

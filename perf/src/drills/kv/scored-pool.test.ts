import fc from 'fast-check';
import { expect, test } from 'vitest';
import { POOL, rightScore, scoreOf, stampOf, writeTokens } from './scored-pool.js';

const { layers, width, capacity } = POOL.shape;
const tensors = (length: number) => ({
  keys: Array.from({ length: layers }, () => new Float32Array(length * width)),
  values: Array.from({ length: layers }, () => new Float32Array(length * width)),
});
const tenancy = fc.record({
  run: fc.nat(500),
  person: fc.nat(POOL.people - 1),
  generation: fc.nat(100_000).map((n) => 2 * n),
});

test('the right score is that of the numbers, however they were appended, and any other number changes it', () => {
  fc.assert(
    fc.property(tenancy, fc.integer({ min: 1, max: capacity }), fc.nat(), fc.nat(), (one, length, cut, at) => {
      const stamp = stampOf(one);
      const held = tensors(length);
      const first = cut % (length + 1);
      writeTokens(held, stamp, 0, first);
      writeTokens(held, stamp, first, length);
      expect(scoreOf(held)).toBe(rightScore(stamp, length));
      const torn = held.values[at % layers]!;
      torn[at % torn.length] = 0;
      expect(scoreOf(held)).not.toBe(rightScore(stamp, length));
    }),
    { seed: 11, numRuns: 200 },
  );
});

test('every number is exact in float32, and tenancies that follow one another have other stamps', () => {
  fc.assert(
    fc.property(tenancy, fc.nat(POOL.people - 1), (one, person) => {
      const stamp = stampOf(one);
      expect(stamp).toBeGreaterThan(-1);
      expect(stamp + 31 * capacity + 7 * layers + width + 3).toBeLessThan(2 ** 24);
      const others = [
        { ...one, person: (one.person + 1 + person) % POOL.people, generation: one.generation + 2 },
        { ...one, generation: one.generation + 2 },
        { ...one, run: one.run + 1 },
      ];
      for (const other of others) expect(stampOf(other)).not.toBe(stamp);
    }),
    { seed: 12 },
  );
});

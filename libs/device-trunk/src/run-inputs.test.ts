import type { HostArrays } from '@onepass/inference';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fillEncode, fillRank } from './run-inputs.js';

const model = { columns: 5, pageTokens: 4 };
const numbers = (length: number) =>
  fc
    .array(fc.integer({ min: 1, max: 9 }), { minLength: length, maxLength: length })
    .map((all) => Float32Array.from(all));
const pages = fc.array(fc.integer({ min: 2, max: 9 }), { maxLength: 4 });
const slate = fc
  .record({ contextRows: fc.integer({ min: 1, max: 2 }), candidateCount: fc.integer({ min: 1, max: 6 }) })
  .chain((of) =>
    fc.record({
      contextRows: fc.constant(of.contextRows),
      candidateCount: fc.constant(of.candidateCount),
      context: numbers(of.contextRows * 5),
      candidates: numbers(of.candidateCount * 3),
      candidateRow: numbers(2),
    }),
  );
const rankEntry = fc.record({ length: fc.nat(16), pages, slates: fc.array(slate, { minLength: 1, maxLength: 2 }) });
const encodeEntry = fc
  .record({ count: fc.integer({ min: 1, max: 3 }), from: fc.nat(12), pages })
  .chain(({ count, ...rest }) =>
    numbers(count * 5).map((rows) => ({ ...rest, rows, behind: 0, rowOf: (token: number) => 8 + token })),
  );

/** Memory as an earlier run left it. */
const rank = (left: number): HostArrays => ({
  context: new Float32Array(2 * 2 * 2 * 5).fill(left),
  candidates: new Float32Array(2 * 2 * 6 * 3).fill(left),
  candidate_row: new Float32Array(2 * 2 * 2).fill(left),
  context_counts: new BigInt64Array(4).fill(BigInt(left)),
  lengths: new BigInt64Array(2).fill(BigInt(left)),
  pages: new BigInt64Array(8).fill(BigInt(left)),
});
const encode = (left: number): HostArrays => ({
  rows: new Float32Array(2 * 4 * 5).fill(left),
  counts: new BigInt64Array(2).fill(BigInt(left)),
  targets: new BigInt64Array(8).fill(BigInt(left)),
  lengths: new BigInt64Array(2).fill(BigInt(left)),
  pages: new BigInt64Array(8).fill(BigInt(left)),
});

test('a run is given nothing of what an earlier one left in its memory', () => {
  fc.assert(
    fc.property(fc.array(rankEntry, { maxLength: 2 }), fc.array(encodeEntry, { maxLength: 2 }), (ranked, encoded) => {
      const filled = [0, 7].map((left) => {
        const inputs = { rank: rank(left), encode: encode(left) };
        fillRank(inputs.rank, { b: 2, g: 4, s: 2, c: 2, k: 6 }, ranked);
        fillEncode(inputs.encode, { b: 2, g: 4, m: 4 }, model, encoded);
        return inputs;
      });
      expect(filled[1]).toEqual(filled[0]);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test("what is larger than its place in a run is refused: it would be in a neighbour's", () => {
  const slates = [
    {
      contextRows: 1,
      candidateCount: 7,
      context: new Float32Array(5),
      candidates: new Float32Array(21),
      candidateRow: new Float32Array(2),
    },
  ];
  expect(() => fillRank(rank(0), { b: 2, g: 4, s: 2, c: 2, k: 6 }, [{ length: 1, pages: [2], slates }])).toThrow();
  const entry = { rows: new Float32Array(10), from: 15, pages: [2], behind: 0, rowOf: () => 8 };
  expect(() => fillEncode(encode(0), { b: 2, g: 4, m: 4 }, model, [entry])).toThrow();
});

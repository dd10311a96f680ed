import { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hasSyntheticWeights, nameOf, parseShape } from './shape.js';

test('a shape is read in any order, with heads and items as the trained configurations have them', () => {
  const shape = { n: 992, k: 656, layers: 12, width: 512, heads: 8, items: 20_000 };
  expect(parseShape('n=992,k=656,L=12,d=512')).toEqual(shape);
  expect(parseShape('d=512, L=12, k=656, n=992')).toEqual(shape);
  expect(parseShape('n=8,k=9,L=2,d=128,items=500,heads=2')).toMatchObject({ heads: 2, items: 500 });
  expect(nameOf(shape)).toBe('synthetic-weights-n992-k656-L12-d512');
});

test.each([
  ['n=992,k=656,L=12', 'd (width) is missing'],
  ['n=992,k=656,L=12,d=', 'd (width) must be a whole number from 2 to 4096, not ""'],
  ['n=0,k=656,L=12,d=512', 'n (tokens of the window) must be a whole number from 1 to 8192, not "0"'],
  ['n=1e3,k=656,L=12,d=512', 'not "1e3"'],
  ['n=9,k=2001,L=12,d=512', 'k (candidates) must be a whole number from 1 to 2000'],
  ['n=9,k=500,L=1,d=32,items=400', 'k=500 is more than the 400 items'],
  ['n=9,k=9,L=1,d=100,heads=8', 'd=100 cannot be cut into 8 heads'],
  ['n=9,n=9,k=9,L=1,d=32', 'n is given twice'],
  ['n=9,k=9,l=1,d=32', '"l=1" is none of n=.., k=..'],
  ['', '"" is none of'],
])('%s is refused in one sentence that names the field', (text, sentence) => {
  expect(() => parseShape(text)).toThrow(sentence);
});

test('any text is a shape within bounds or refused as what the reader can mend', () => {
  const field = fc
    .tuple(fc.constantFrom('n', 'k', 'L', 'd', 'heads', 'items', 'x'), fc.nat(9000))
    .map((f) => f.join('='));
  const text = fc.oneof(
    fc.array(field, { maxLength: 7 }).map((fields) => fields.join(',')),
    fc.string(),
  );
  fc.assert(
    fc.property(text, (raw) => {
      try {
        const shape = parseShape(raw);
        expect(shape.width % (2 * shape.heads)).toBe(0);
        expect(shape.k).toBeLessThanOrEqual(shape.items);
      } catch (error) {
        expect(error).toBeInstanceOf(OnepassError);
        expect((error as OnepassError).message).toMatch(/^--shape: /);
      }
    }),
    { seed: 6, numRuns: 500 },
  );
});

test('synthetic weights are known by what the manifest says, the synthetic world is another thing', () => {
  expect(hasSyntheticWeights({ name: 'synthetic-weights-n8-k9-L1-d32', metrics: {} })).toBe(true);
  expect(hasSyntheticWeights({ name: 'renamed', metrics: { syntheticWeights: true } })).toBe(true);
  expect(hasSyntheticWeights({ name: 'synthetic-d128', metrics: {} })).toBe(false);
});

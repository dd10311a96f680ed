import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_RELEASE, SMOKE_RELEASE } from '@onepass/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type QueryTokenizer, queryTokens } from './index.js';

interface TokenizerVectors {
  readonly tokenizer: QueryTokenizer;
  readonly texts: readonly { readonly name: string; readonly text: string; readonly ids: readonly number[] }[];
}

const TOKENIZER: QueryTokenizer = { buckets: 1 << 20, seed: 1, ngrams: [3], maxTokens: 128 };

describe.each([SMOKE_RELEASE, DEFAULT_RELEASE])('the vectors of %s', (directory) => {
  const vectors: TokenizerVectors = JSON.parse(readFileSync(join(directory, 'vectors/tokenizer.json'), 'utf8'));
  test.each(vectors.texts)('training’s tokens of the text "$name"', ({ text, ids }) => {
    expect(queryTokens(text, vectors.tokenizer)).toEqual(ids);
  });
});

test('ASCII case, punctuation and white space do not count', () => {
  const ascii = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  fc.assert(
    fc.property(
      fc.array(ascii, { minLength: 1, maxLength: 6 }),
      fc.stringMatching(/^[ !-/:-@[-`{-~\t\r\n\0]{1,4}$/),
      (words, gap) => {
        const plain = queryTokens(words.join(' '), TOKENIZER);
        expect(queryTokens(gap + words.join(gap).toUpperCase() + gap, TOKENIZER)).toEqual(plain);
        expect(queryTokens(gap, TOKENIZER)).toEqual([]);
      },
    ),
    { seed: 4 },
  );
});

test('any text gives at most so many ids below the number of buckets, and words give the same wherever they stand', () => {
  const small = { ...TOKENIZER, buckets: 7, ngrams: [2, 4] };
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.string({ unit: 'binary', maxLength: 9 }),
      (text, other) => {
        const ids = queryTokens(text, small);
        expect(ids.length).toBeLessThanOrEqual(small.maxTokens);
        expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < small.buckets)).toBe(true);
        const both = queryTokens(`${other} ${text}`, { ...small, maxTokens: 5000 });
        expect(both).toEqual([other, text].flatMap((part) => queryTokens(part, { ...small, maxTokens: 5000 })));
      },
    ),
    { seed: 5 },
  );
});

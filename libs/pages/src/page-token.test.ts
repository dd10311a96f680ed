import { hash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  NOTHING_RECENT,
  openPageToken,
  type PageTokenScope,
  type RecentValues,
  sealPageToken,
  TOKEN_ITEMS,
  Violations,
} from './index.js';

const KEY = Buffer.alloc(32, 7);
const SCOPE: PageTokenScope = { person: 'p', context: 'home', filters: '', release: 'r-1' };
const settings = { seed: 11, numRuns: 200 };
const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const ids = fc.uniqueArray(word, { maxLength: 60 });

function problemOf(token: string, scope = SCOPE, key: Uint8Array = KEY): string {
  const violations = new Violations();
  expect(openPageToken(key, scope, token, violations)).toBeUndefined();
  try {
    violations.throwIfAny();
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

function sealed(
  returned: readonly string[],
  position = returned.length,
  recent: RecentValues = NOTHING_RECENT,
): string {
  return sealPageToken(KEY, SCOPE, { returned, position, recent }) as string;
}

test('a token gives back what it was made of', () => {
  fc.assert(
    fc.property(ids, fc.nat(), fc.array(fc.tuple(word, fc.array(fc.array(word)))), (returned, position, values) => {
      const violations = new Violations();
      const recent = new Map(values);
      const token = sealed(returned, position, recent);
      expect(openPageToken(KEY, SCOPE, token, violations)).toEqual({ returned, position, recent });
      violations.throwIfAny();
    }),
    settings,
  );
});

test('no changed, cut or lengthened token is taken', () => {
  const token = sealed(['a', 'b', 'c']);
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.string({ minLength: 0, maxLength: 3 }), (at, put) => {
      const changed = token.slice(0, at) + put + token.slice(at + 1);
      fc.pre(changed !== token && changed.length > 0);
      expect(problemOf(changed)).toMatch(/^page_token: is (broken|of another version)/);
    }),
    settings,
  );
});

test('any text as a token is refused with a sentence', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), (text) => {
      expect(problemOf(text)).toMatch(/^page_token: is /);
    }),
    settings,
  );
  expect(problemOf('A'.repeat(70_000))).toBe('page_token: is longer than 65536 characters');
});

test('a foreign token says whose it is', () => {
  const token = sealed(['a']);
  expect(problemOf(token, { ...SCOPE, person: 'q' })).toBe('page_token: belongs to another person');
  expect(problemOf(token, { ...SCOPE, context: 'related' })).toBe(
    'page_token: belongs to another surface, context or mode',
  );
  expect(problemOf(token, { ...SCOPE, filters: 'x' })).toBe('page_token: belongs to other filters');
  expect(problemOf(token, { ...SCOPE, release: 'r-2' })).toMatch(/belongs to another release/);
  expect(problemOf(token, SCOPE, Buffer.alloc(32, 8))).toBe('page_token: is broken');
});

test('a chain ends at its cap of items and of characters', () => {
  const many = (count: number, id: (i: number) => string) =>
    sealPageToken(KEY, SCOPE, {
      returned: Array.from({ length: count }, (_, i) => id(i)),
      position: count,
      recent: NOTHING_RECENT,
    });
  expect(many(TOKEN_ITEMS - 1, (i) => `item-${i}`)).toBeTypeOf('string');
  expect(many(TOKEN_ITEMS, (i) => `item-${i}`)).toBeUndefined();
  const noise = (i: number) => hash('sha512', String(i)); // 128 characters of 4 bits each
  expect(many(TOKEN_ITEMS - 1, noise)).toBeUndefined();
  // What deflates well must still fit when it is inflated.
  const recent = new Map([['topic', Array.from({ length: 400 }, () => ['x'.repeat(10_000)])]]);
  expect(sealPageToken(KEY, SCOPE, { returned: ['a'], position: 1, recent })).toBeUndefined();
});

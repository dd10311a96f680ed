import { OnepassError } from '@onepass/errors';
import { expect, test } from 'vitest';
import { checkFeatures, FEATURE, Violations } from './index.js';

function said(features: Record<string, number>, declared?: readonly string[]): string {
  const violations = new Violations();
  checkFeatures('features', features, declared, violations);
  try {
    violations.throwIfAny();
  } catch (error) {
    return OnepassError.from(error).message;
  }
  return '';
}

test('what the release declares may come, with any number that a row holds', () => {
  expect(said({}, [])).toBe('');
  expect(said({ hour: -0.5, age: FEATURE }, ['age', 'hour', 'toString'])).toBe('');
});

test('each wrong one is named', () => {
  const wrong = { mood: 1, hour: Number.NaN, age: Number.NEGATIVE_INFINITY, at: 1e38, toString: 1 };
  expect(said(wrong, ['hour', 'age', 'at'])).toBe(
    [
      'features["mood"]: is not a request feature of the release',
      'features["hour"]: must be a finite number',
      'features["age"]: must be a finite number',
      `features["at"]: must be a number from -${FEATURE} to ${FEATURE}`,
      'features["toString"]: is not a request feature of the release',
    ].join('; '),
  );
});

test('where names are anybody’s own they have a length only', () => {
  expect(said({ anything: 1 })).toBe('');
  expect(said({ '': 1, ['é'.repeat(65)]: 2 })).toMatch(
    /^features\[""\]: must not be empty; features\["é+\.\.\."\]: is 130 by/,
  );
});

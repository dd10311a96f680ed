import { expect, test } from 'vitest';
import { matchesLock } from './install.mjs';

const locked = {
  '': {},
  'libs/kv': { version: '0.1.0' },
  'node_modules/@onepass/kv': { link: true },
  'node_modules/zod': { version: '4.6.7', integrity: 'sha512-a' },
  'node_modules/koffi-arm64': { version: '3.3.4', integrity: 'sha512-b', optional: true },
};
const installed = {
  'libs/kv': { version: '0.1.0' },
  'node_modules/@onepass/kv': { link: true },
  'node_modules/zod': { version: '4.6.7', integrity: 'sha512-a' },
};

test('an installation without the optional packages of other platforms is up to date', () => {
  expect(matchesLock(locked, installed)).toBe(true);
});

test('another version, a missing package and one too many are not', () => {
  const { 'node_modules/zod': _, ...without } = installed;
  expect(matchesLock(locked, without)).toBe(false);
  expect(matchesLock(locked, { ...installed, 'node_modules/zod': { version: '4.6.6', integrity: 'sha512-c' } })).toBe(
    false,
  );
  expect(matchesLock(locked, { ...installed, 'node_modules/left-over': { version: '1.0.0' } })).toBe(false);
});

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { koffi, loadLibrary } from './index.js';

const isMapped = (library: string) => readFileSync('/proc/self/maps', 'utf8').includes(library);

test('a library that is loaded stays, although its handle is given up', () => {
  // Two of glibc's own that nobody needs.
  koffi.load('libanl.so.1').unload();
  expect(isMapped('libanl.so.1')).toBe(false);
  loadLibrary('libBrokenLocale.so.1').unload();
  expect(isMapped('libBrokenLocale.so.1')).toBe(true);
});

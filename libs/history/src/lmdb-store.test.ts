import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { historyStoreConformance } from './conformance.suite.js';
import { eventTime, MAX_AHEAD_MS, openLmdbHistory } from './index.js';

const root = mkdtempSync(join(tmpdir(), 'onepass-history-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

historyStoreConformance('LMDB', async (now) => openLmdbHistory(join(root, 'conformance'), { now }));

test('a directory that cannot be made is one sentence', () => {
  const file = join(root, 'file');
  writeFileSync(file, '');
  expect(() => openLmdbHistory(join(file, 'history'))).toThrow(`history store in ${file}/history cannot be opened: `);
});

test('a data file that is none of LMDB’s is one sentence', () => {
  writeFileSync(join(root, 'data.mdb'), 'no database at all, but long enough to be read as a page'.repeat(200));
  expect(() => openLmdbHistory(root)).toThrow(
    `history store in ${root} cannot be opened: data.mdb is not an LMDB data file`,
  );
});

test('the time of an event', () => {
  expect(eventTime(0, 1000)).toEqual({ timeMs: 1000 });
  expect(eventTime(5, 1000)).toEqual({ timeMs: 5 });
  expect(eventTime(1000 + MAX_AHEAD_MS, 1000)).toEqual({ timeMs: 1000 + MAX_AHEAD_MS });
  for (const wrong of [1001 + MAX_AHEAD_MS, -1, 0.5, NaN, Infinity]) {
    expect(eventTime(wrong, 1000)).toHaveProperty('refused');
  }
});

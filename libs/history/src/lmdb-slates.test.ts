import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openLmdbSlates, type Slate } from './index.js';
import { decodeSlate, encodeSlate } from './slate-codec.js';
import { slateStoreConformance } from './slate-conformance.suite.js';

const root = mkdtempSync(join(tmpdir(), 'onepass-slates-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

slateStoreConformance('LMDB', async () => openLmdbSlates(join(root, 'conformance')));

const page: Slate = {
  slateId: '01890a5d-ac96-774b-bcce-b302099a8057',
  person: 'a'.repeat(32),
  surface: 'home',
  timeMs: 1_800_000_000_000,
  historySequence: 400,
  historyHash: 1n,
  releaseId: 'default-2026-11-01',
  foreign: false,
  relatedItemIds: [],
  queryText: undefined,
  queryEmbedding: undefined,
  features: {},
  actions: ['click', 'save', 'share', 'hide'],
  degraded: [],
  items: Array.from({ length: 20 }, (_, i) => ({
    itemId: `item-${1_000_000 + i}`,
    position: i,
    utility: 0.5,
    probabilities: [0.4, 0.3, 0.2, 0.1],
  })),
};

test('a page of 20 items takes about 1 KB', () => {
  expect(encodeSlate(page).length).toBeLessThan(1_024);
});

test('a slate without features has the bytes that slates had before there were any', () => {
  const bytes = encodeSlate({ ...page, items: page.items.slice(0, 1) });
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(
    'd74758397c065fd8b8949a0c73d2fa8ad6a0116adb7dd0ff8cb33f1ba86c19b5',
  );
  expect(decodeSlate('a'.repeat(32), bytes, undefined)).toMatchObject({ features: {} });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unavailable } from '@onepass/errors';
import { openLmdbSlates, type Slate } from '@onepass/history';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { expect, test, vi } from 'vitest';
import { keepRetention } from './retention.js';

const DAY_MS = 86_400_000;
const ADA = 'a'.repeat(32);

function slate(slateId: string, timeMs: number): Slate {
  const about = { relatedItemIds: [], queryText: undefined, queryEmbedding: undefined, features: {} };
  const made = { releaseId: 'r', foreign: false, ...about };
  const history = { historySequence: 0, historyHash: 0n };
  return { slateId, person: ADA, surface: 'home', timeMs, ...history, ...made, actions: [], degraded: [], items: [] };
}

test('slates are dropped at the end of their days, also after a time when the store was down', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'onepass-retention-'));
  const lmdb = openLmdbSlates(directory);
  const now = Date.now();
  await lmdb.record([slate('old', now - 8 * DAY_MS), slate('young', now - 6 * DAY_MS)]);
  const prune = vi.fn((beforeMs: number) => lmdb.prune(beforeMs)).mockRejectedValueOnce(unavailable('down'));
  const measurements = new Measurements();
  const closing = new AbortController();
  const kept = keepRetention({ ...lmdb, prune }, 7, closing.signal, { logger: silentLogger, measurements }, 1);
  await vi.waitFor(() => expect(measurements.snapshot()['onepass.slates{onepass.slate.outcome="expired"}']).toBe(1));
  closing.abort();
  await kept;
  expect(await lmdb.get(ADA, 'old')).toBeUndefined();
  expect(await lmdb.get(ADA, 'young')).toBeDefined();
  await lmdb.close();
  rmSync(directory, { recursive: true });
});

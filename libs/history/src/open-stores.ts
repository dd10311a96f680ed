import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { openLmdbSlates } from './lmdb-slates.js';
import { openLmdbHistory } from './lmdb-store.js';
import type { RedisTerms } from './redis.js';
import { openRedisSlates } from './redis-slates.js';
import { openRedisHistory } from './redis-store.js';
import type { StorePlace } from './settings.js';
import type { SlateStore } from './slates.js';
import type { OpenHistoryStore } from './store.js';

/** What a process says of its stores, as its settings hold it. */
export interface StoreSettings {
  readonly history: StorePlace;
  readonly historyTimeoutMs: number;
  readonly historyChecked: 'yes' | 'no';
  /** Where LMDB keeps them: in its folders history and slates. */
  readonly dataDir: string;
}

/** @throws OnepassError `startup`, one sentence that names the directory, or the server and the setting */
export async function openHistory(settings: StoreSettings): Promise<OpenHistoryStore> {
  const { history, dataDir } = settings;
  return history === 'lmdb'
    ? openLmdbHistory(join(dataDir, 'history'))
    : openRedisHistory(history, redisTerms(settings));
}

/** @throws OnepassError `startup`, as `openHistory` */
export async function openStores(settings: StoreSettings): Promise<{ history: OpenHistoryStore; slates: SlateStore }> {
  const { history: place, dataDir } = settings;
  const history = await openHistory(settings);
  try {
    const slates =
      place === 'lmdb' ? openLmdbSlates(join(dataDir, 'slates')) : openRedisSlates(place, redisTerms(settings));
    return { history, slates: await slates };
  } catch (error) {
    await history.close();
    throw error;
  }
}

/**
 * For commands: opening LMDB makes what is not there, and a directory mistyped must not look like a mesh without histories.
 * @param option that named the directory
 * @throws OnepassError `startup` naming both
 */
export function requireHistory({ history, dataDir }: Pick<StoreSettings, 'history' | 'dataDir'>, option: string): void {
  if (history === 'lmdb' && !existsSync(join(dataDir, 'history', 'data.mdb'))) {
    throw startupError(`${option} ${dataDir} holds no history`);
  }
}

export function redisTerms({ historyTimeoutMs, historyChecked }: StoreSettings): RedisTerms {
  return { timeoutMs: historyTimeoutMs, checkedByOperator: historyChecked === 'yes' };
}

import { hasNoRedis, startTestCluster, startTestRedis, type TestRedis } from '@onepass/testing';
import type { RedisPlace } from './index.js';

export { end, freePort } from '@onepass/testing';

/** A redis-server that keeps what it acknowledges. */
export type RedisServer = TestRedis & { readonly place: RedisPlace };

export const DURABLE = {
  appendonly: 'yes',
  appendfsync: 'always',
  'no-appendfsync-on-rewrite': 'no',
  'maxmemory-policy': 'noeviction',
  save: '',
};

export const noRedis = hasNoRedis();

export function placeOf(...ports: number[]): RedisPlace {
  const nodes = ports.map((port) => ({ host: '127.0.0.1', port }));
  return { nodes, tls: false, username: undefined, password: undefined, database: 0 };
}

export async function startRedis(config: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
  const redis = await startTestRedis({ ...DURABLE, ...config });
  return Object.assign(redis, { place: placeOf(redis.port) });
}

/** Three masters. */
export async function startCluster() {
  const { servers, remove } = await startTestCluster(DURABLE);
  return { place: placeOf(...servers.map(({ port }) => port)), servers, remove };
}

import { afterAll, beforeAll, describe } from 'vitest';
import { historyStoreConformance } from './conformance.suite.js';
import { openRedisHistory, openRedisSlates } from './index.js';
import { noRedis, type RedisServer, startCluster, startRedis } from './redis-server.suite.js';
import { slateStoreConformance } from './slate-conformance.suite.js';

const terms = { timeoutMs: 5_000, checkedByOperator: false };

describe.skipIf(noRedis)('one redis-server', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.remove());

  historyStoreConformance('Redis', (now) => openRedisHistory(server.place, { ...terms, now }));
  slateStoreConformance('Redis', () => openRedisSlates(server.place, terms));
});

describe.skipIf(noRedis)('a Redis Cluster of three', () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.remove());

  historyStoreConformance('Redis Cluster', (now) => openRedisHistory(cluster.place, { ...terms, now }));
  slateStoreConformance('Redis Cluster', () => openRedisSlates(cluster.place, terms));
});

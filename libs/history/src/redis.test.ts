import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CA_FILE, createAuthority, writeBundle, writeCertificates } from '@onepass/certificates';
import { bundleProgram } from '@onepass/testing';
import { Cluster } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { historyStoreConformance } from './conformance.suite.js';
import {
  type HistoryStore,
  type NewEvent,
  openRedisHistory,
  openRedisSlates,
  parseStorePlace,
  type RedisPlace,
} from './index.js';
import { end, freePort, noRedis, placeOf, type RedisServer, startCluster, startRedis } from './redis-server.suite.js';
import { slateStoreConformance } from './slate-conformance.suite.js';

const terms = { timeoutMs: 5_000, checkedByOperator: false };
const PERSON = 'd'.repeat(32);

function clicks(count: number, round = 0): NewEvent[] {
  return Array.from({ length: count }, (_, i) => ({
    eventId: `${round}-${i}`,
    operation: 'add',
    itemId: `i${i}`,
    actions: ['click'],
    surface: 'home',
    timeMs: 0,
  }));
}

const numbered = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

describe.skipIf(noRedis)('one redis-server', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.remove());

  historyStoreConformance('Redis', (now) => openRedisHistory(server.place, { ...terms, now }));
  slateStoreConformance('Redis', () => openRedisSlates(server.place, terms));

  test('writers of many processes on one person leave no gap and none goes without', async () => {
    const stores = await Promise.all(Array.from({ length: 8 }, () => openRedisHistory(server.place, terms)));
    const writes = await Promise.all(Array.from({ length: 40 }, (_, w) => stores[w % 8]!.append(PERSON, clicks(3, w))));
    const given = writes.flatMap(({ results }) => results.map((r) => (r.status === 'accepted' ? r.sequence : NaN)));
    expect(given.sort((a, b) => a - b)).toEqual(numbered(120));
    const { events, head } = await stores[0]!.tail(PERSON, 0, 1_000);
    expect(events.map((e) => e.sequence)).toEqual(numbered(120));
    expect(events.at(-1)!.hash).toBe(head.hash);
    await Promise.all(stores.map((store) => store.close()));
  });

  test('a read of several commands is of one moment, though writes come between them', async () => {
    const [writer, reader] = await Promise.all([
      openRedisHistory(server.place, terms),
      openRedisHistory(server.place, terms),
    ]);
    const person = 'e'.repeat(32);
    await writer.append(person, clicks(1_500, 0));
    let writing = true;
    const written = (async () => {
      for (let round = 1; round <= 30; round++) await writer.append(person, clicks(2, round));
      writing = false;
    })();
    while (writing) {
      const { head, events } = await reader.tail(person, 0, 5_000);
      expect(events.map((e) => e.sequence)).toEqual(numbered(head.sequence));
      expect(events.at(-1)!.hash).toBe(head.hash);
      const latest = await reader.latest(person, 1_200);
      expect(latest.events.at(-1)!.hash).toBe(latest.head.hash);
      expect(latest.events.length).toBe(1_200);
    }
    await written;
    await Promise.all([writer.close(), reader.close()]);
  });
});

describe.skipIf(noRedis)('a Redis Cluster of three', () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.remove());

  historyStoreConformance('Redis Cluster', (now) => openRedisHistory(cluster.place, { ...terms, now }));
  slateStoreConformance('Redis Cluster', () => openRedisSlates(cluster.place, terms));

  test('all keys of a person lie in one slot', async () => {
    const client = new Cluster([...cluster.place.nodes]);
    await new Promise((resolve) => client.once('ready', resolve));
    const keys = (await Promise.all(client.nodes('master').map((node) => node.keys('onepass:*')))).flat();
    const slots = new Map<string, Set<number>>();
    for (const key of keys) {
      const person = /\{(.+)\}/.exec(key)?.[1] ?? key;
      const slot = await client.cluster('KEYSLOT', key);
      slots.set(person, (slots.get(person) ?? new Set<number>()).add(slot));
    }
    expect(slots.size).toBeGreaterThan(100);
    expect([...slots.values()].every((of) => of.size === 1)).toBe(true);
    client.disconnect();
  });

  test('while one master is away its persons are refused, then all are served again', async () => {
    const store = await openRedisHistory(cluster.place, { ...terms, timeoutMs: 500 });
    const people = Array.from({ length: 20 }, (_, i) => i.toString(16).padStart(32, 'c'));
    const appendAll = (round: number) =>
      Promise.allSettled(people.map((person) => store.append(person, clicks(1, round))));
    await appendAll(1);
    const [server] = cluster.servers;
    await end(server!.process);
    const outcomes = await appendAll(2);
    const refused = outcomes.filter((o) => o.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(people.length);
    for (const { reason } of refused) expect(reason).toMatchObject({ kind: 'unavailable' });
    // Better no list of persons than one without those that cannot be seen.
    const listed = async () => {
      for await (const person of store.persons()) expect(person).toHaveLength(32);
    };
    await expect(listed()).rejects.toMatchObject({ kind: 'unavailable' });
    const active = async () => {
      for await (const { person } of store.activePersons(0)) expect(person).toHaveLength(32);
    };
    await expect(active()).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(openRedisHistory(cluster.place, terms)).rejects.toThrow(
      /^ONEPASS_HISTORY: the Redis at [\d.:, ]+ cannot be used: /,
    );
    await server!.restart();
    await vi.waitFor(
      async () => {
        const outcomes = await appendAll(2);
        expect(outcomes.every((o) => o.status === 'fulfilled')).toBe(true);
      },
      { timeout: 20_000 },
    );
    for (const person of people) {
      const { events } = await store.tail(person, 0, 10);
      expect(events.map((e) => e.eventId)).toEqual(['1-0', '2-0']);
    }
    await store.close();
  });

  test('one node alone is not taken for a server', async () => {
    const { port } = cluster.place.nodes[0]!;
    await expect(openRedisHistory(placeOf(port), terms)).rejects.toThrow(
      `ONEPASS_HISTORY: the Redis at 127.0.0.1:${port} is a node of a cluster: name several of its nodes, with , between`,
    );
  });
});

describe.skipIf(noRedis)('at start', () => {
  const servers: RedisServer[] = [];
  const start = async (config: Record<string, string>) => {
    const server = await startRedis(config);
    servers.push(server);
    return server;
  };
  afterEach(async () => {
    vi.restoreAllMocks();
    await Promise.all(servers.splice(0).map((server) => server.remove()));
  });

  test('a Redis that could lose what it acknowledged is refused by name', async () => {
    const weak = {
      appendonly: 'no',
      appendfsync: 'everysec',
      'no-appendfsync-on-rewrite': 'yes',
      'maxmemory-policy': 'allkeys-lru',
    };
    for (const [setting, value] of Object.entries(weak)) {
      const { place, port } = await start({ [setting]: value });
      const refusal = expect.objectContaining({
        kind: 'startup',
        message: expect.stringContaining(
          `ONEPASS_HISTORY: the Redis at 127.0.0.1:${port} has ${setting} ${value}; to keep`,
        ),
      });
      await expect(openRedisHistory(place, terms)).rejects.toEqual(refusal);
      await expect(openRedisSlates(place, terms)).rejects.toEqual(refusal);
    }
  });

  test('where CONFIG is not allowed the operator must have checked', async () => {
    const { place } = await start({ 'rename-command': 'CONFIG ""' });
    await expect(openRedisHistory(place, terms)).rejects.toThrow(
      /does not allow CONFIG GET .*appendfsync always.* ONEPASS_HISTORY_CHECKED=yes/,
    );
    const store = await openRedisHistory(place, { ...terms, checkedByOperator: true });
    expect((await store.append(PERSON, clicks(1))).head.sequence).toBe(1);
    await store.close();
  });

  test('a Redis that is away, or does not know us, is one sentence without the password', async () => {
    const printed = vi.spyOn(console, 'error');
    const server = await start({ requirepass: 'right' });
    const wrong = { ...server.place, password: 'wrong-secret' };
    await expect(openRedisHistory(wrong, terms)).rejects.toThrow(
      new RegExp(`^ONEPASS_HISTORY: the Redis at 127.0.0.1:${server.port} cannot be used: (?!.*secret).*password`),
    );
    const other = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await once(other.listen(0, '127.0.0.1'), 'listening');
    const place = placeOf((other.address() as AddressInfo).port);
    await expect(openRedisHistory(place, terms)).rejects.toThrow(/cannot be used: what answers there is not a Redis$/);
    await expect(openRedisHistory({ ...place, tls: true }, terms)).rejects.toThrow(
      /cannot be used: it does not speak TLS$/,
    );
    other.close();
    await end(server.process);
    await expect(openRedisHistory({ ...server.place, password: 'right' }, terms)).rejects.toThrow(
      `ONEPASS_HISTORY: the Redis at 127.0.0.1:${server.port} cannot be used: connect ECONNREFUSED`,
    );
    await expect(openRedisHistory(placeOf(server.port, server.port + 1), terms)).rejects.toThrow('cannot be used: ');
    expect(printed).not.toHaveBeenCalled();
  });

  test('a process that trusts the authority is served, another one is told why not', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'onepass-redis-tls-'));
    const authority = createAuthority('Test CA');
    writeBundle(directory, [authority]);
    writeCertificates(directory, authority, ['redis']);
    const [ca, cert, key] = [CA_FILE, 'redis.crt', 'redis.key'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    const port = String(await freePort());
    const tls = { 'tls-port': port, 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': ca };
    await start({ ...tls, port: '0', 'tls-auth-clients': 'no' });
    const writer = await bundleProgram(new URL('./writer.program.ts', import.meta.url));
    const place = `rediss://127.0.0.1:${port}`;
    const trusting = spawn(process.execPath, [writer.path, place, directory, PERSON, '1'], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: ca },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface(trusting.stdout!), 'line');
    expect(line).toMatch(/^2 \d+$/);
    await end(trusting);
    writer.remove();
    await expect(openRedisHistory(parseStorePlace(place) as RedisPlace, terms)).rejects.toThrow(
      `ONEPASS_HISTORY: the Redis at 127.0.0.1:${port} cannot be used: self-signed certificate`,
    );
    rmSync(directory, { recursive: true });
  });
});

describe.skipIf(noRedis)('while serving', () => {
  let server: RedisServer;
  let store: HistoryStore;
  beforeAll(async () => {
    server = await startRedis();
    store = await openRedisHistory(server.place, { ...terms, timeoutMs: 200 });
  });
  afterAll(async () => {
    await store.close();
    await server.remove();
  });

  test('a Redis killed while it acknowledges loses nothing and leaves no gap, 10 times', async () => {
    const person = 'f'.repeat(32);
    const acknowledged: string[] = [];
    for (let round = 0; round < 10; round++) {
      const writing = (async () => {
        for (let write = 0; ; write++) {
          const { head } = await store.append(person, clicks(2, 1_000 * round + write));
          acknowledged.push(`${head.sequence} ${head.hash}`);
          if (write === round) server.kill('SIGKILL');
        }
      })();
      await expect(writing).rejects.toMatchObject({ kind: 'unavailable' });
      await end(server.process);
      await server.restart();
      await vi.waitFor(() => store.head(person), { timeout: 10_000 });
    }
    const { events } = await store.tail(person, 0, 10_000);
    expect(events.map((e) => e.sequence)).toEqual(numbered(events.length));
    const held = new Set(events.map((e) => `${e.sequence} ${e.hash}`));
    expect(acknowledged.length).toBeGreaterThanOrEqual(55);
    for (const line of acknowledged) expect(held).toContain(line);
  });

  test('a Redis that hangs, dies and comes back', async () => {
    const lost = expect.objectContaining({ kind: 'unavailable' });
    const first = await store.append(PERSON, clicks(2, 1));
    server.kill('SIGSTOP');
    const stopped = await Promise.allSettled([
      store.append(PERSON, clicks(1, 2)),
      ...Array.from({ length: 50 }, () => store.head(PERSON)),
    ]);
    expect(stopped.map((s) => s.status === 'rejected' && s.reason)).toEqual(stopped.map(() => lost));
    server.kill('SIGCONT');
    await vi.waitFor(() => store.head(PERSON), { timeout: 10_000 });
    await end(server.process);
    const error = await store.append(PERSON, clicks(1, 3)).catch((thrown) => thrown);
    expect(error).toEqual(lost);
    // The command, which ioredis hangs on its errors, would bring a person into the log.
    expect(JSON.stringify(error.cause)).toBe('{}');
    await server.restart();
    await vi.waitFor(() => store.head(PERSON), { timeout: 10_000 });
    const { events } = await store.tail(PERSON, 0, 10);
    // What was acknowledged is there; what was refused may have been carried out once Redis woke, and counts as a repeat then.
    expect(
      events
        .slice(0, 2)
        .map((e) => e.hash)
        .at(-1),
    ).toBe(first.head.hash);
    const { head } = await store.append(PERSON, [...clicks(1, 2), ...clicks(1, 3)]);
    expect(head.sequence).toBe(4);
  });
});

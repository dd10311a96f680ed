import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { RedisPlace } from '@onepass/history';
import { hasNoRedis, startTestCluster, startTestRedis, type TestRedis } from '@onepass/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { MadeUpCell } from './cell.suite.js';
import { openCodec } from './codec.js';
import { emptyTensors, newPerson, someTensors } from './made-up.suite.js';
import { openRedisStore, type RedisStoreOptions } from './redis-store.js';
import { warmStoreConformance } from './store-conformance.suite.js';

const HOUR = 3_600_000;

function placeOf(...ports: number[]): RedisPlace {
  const nodes = ports.map((port) => ({ host: '127.0.0.1', port }));
  return { nodes, tls: false, username: undefined, password: undefined, database: 0 };
}

/** Whether any key or value has the person's name in it. */
async function holdsAny(client: Redis, person: string): Promise<boolean> {
  for (const key of await client.keys('*')) {
    const values = {
      zset: () => client.zrange(key, '0', '-1'),
      hash: async () => Object.keys(await client.hgetall(key)),
      set: () => client.smembers(key),
    }[(await client.type(key)) as string];
    if ([key, ...((await values?.()) ?? [])].some((text) => text.includes(person))) return true;
  }
  return false;
}

/** Between a client and a server: it keeps the bytes it is told to, cuts the client off, and delivers them when asked to. */
async function slowNetwork(serverPort: number) {
  const sockets = new Set<Socket>();
  let awaited: { bytes: Buffer; caught: (deliver: () => Promise<void>) => void } | undefined;
  const network = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1');
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => {}));
    upstream.pipe(client);
    client.on('data', (bytes) => {
      if (awaited === undefined || !bytes.includes(awaited.bytes)) return upstream.write(bytes);
      const answered = once(upstream, 'data');
      awaited.caught(async () => {
        upstream.write(bytes);
        await answered;
      });
      awaited = undefined;
      upstream.unpipe(client);
      upstream.resume();
      client.destroy();
    });
  }).listen(0, '127.0.0.1');
  await once(network, 'listening');
  return {
    port: (network.address() as AddressInfo).port,
    holdNext: (bytes: Buffer) =>
      new Promise<() => Promise<void>>((caught) => {
        awaited = { bytes, caught };
      }),
    close: () => {
      network.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

describe.skipIf(hasNoRedis())('Redis', () => {
  let server: TestRedis;
  let client: Redis;
  beforeAll(async () => {
    server = await startTestRedis();
    client = new Redis(server.port, '127.0.0.1');
    client.on('error', () => {});
  });
  afterAll(async () => {
    client.disconnect();
    await server.remove();
  });
  const open = (more: Partial<RedisStoreOptions> = {}) =>
    openRedisStore({
      place: placeOf(server.port),
      releaseId: 'r-1',
      maxBytes: 1e6,
      maxAgeMs: HOUR,
      maxEntryBytes: 1e5,
      timeoutMs: 1_000,
      ...more,
    });

  warmStoreConformance('Redis', async () => {
    await client.flushall();
    return { open, holds: (person) => holdsAny(client, person), remove: async () => {} };
  });

  test('entries age, with everything that is known of them but their place in the order', async () => {
    await client.flushall();
    const store = await open({ maxAgeMs: 50 });
    const person = newPerson();
    await store.write(person, Buffer.alloc(100));
    // Gone already, or about to go; -1 would be never.
    for (const key of await client.keys(`onepass:warm*{${person}}*`)) expect(await client.pttl(key)).not.toBe(-1);
    await vi.waitFor(async () => expect(await client.keys(`*${person}*`)).toEqual([]));
    expect(await store.read(person)).toBeUndefined();
    await store.close();
  });

  test('a server without room is full', async () => {
    const small = await startTestRedis({ maxmemory: '3mb', 'maxmemory-policy': 'noeviction' });
    const store = await open({ place: placeOf(small.port), maxBytes: 1e9 });
    const outcomes: string[] = [];
    for (let turn = 0; turn < 8; turn++) outcomes.push(await store.write(newPerson(), Buffer.alloc(600_000)));
    expect(outcomes[0]).toBe('written');
    expect(outcomes.at(-1)).toBe('full');
    await store.close();
    await small.remove();
  });

  test('a server that stopped is a miss once, then costs nothing for a while, and is asked again', async () => {
    const store = await open({ timeoutMs: 20 });
    const person = newPerson();
    await store.write(person, Buffer.alloc(100, 7));
    expect(await vi.waitFor(() => store.read(person), { timeout: 10_000 })).toEqual(Buffer.alloc(100, 7));
    server.kill('SIGSTOP');
    try {
      await expect(store.read(person)).rejects.toMatchObject({ kind: 'unavailable' });
      const reads = await Promise.allSettled(Array.from({ length: 1_000 }, () => store.read(person)));
      expect(reads.every((read) => read.status === 'rejected' && /rests/.test(read.reason.message))).toBe(true);
    } finally {
      server.kill('SIGCONT');
    }
    expect(await vi.waitFor(() => store.read(person), { timeout: 10_000 })).toEqual(Buffer.alloc(100, 7));
    await store.close();
  });

  test('a stopped server loses a write, and what it takes up late does not outlive that its person is forgotten', async () => {
    const store = await open();
    const person = newPerson();
    await store.write(person, Buffer.alloc(100, 1));
    server.kill('SIGSTOP');
    await expect(store.write(person, Buffer.alloc(100, 2))).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(store.forget(person)).rejects.toMatchObject({ kind: 'unavailable' });
    server.kill('SIGCONT');
    await vi.waitFor(() => store.forget(person), { timeout: 10_000 });
    await client.ping();
    expect(await holdsAny(client, person)).toBe(false);
    await store.close();
  }, 30_000);

  test('a write that the network delivers after its person was forgotten is not carried out', async () => {
    const network = await slowNetwork(server.port);
    const store = await open({ place: placeOf(network.port) });
    const person = newPerson();
    const held = network.holdNext(Buffer.alloc(100, 9));
    const write = expect(store.write(person, Buffer.alloc(1_000, 9))).rejects.toMatchObject({ kind: 'unavailable' });
    const deliver = await held;
    await write;
    expect(await holdsAny(client, person)).toBe(true);
    await vi.waitFor(() => store.forget(person), { timeout: 10_000 });
    expect(await holdsAny(client, person)).toBe(false);
    await deliver();
    expect(await holdsAny(client, person)).toBe(false);
    await store.close();
    network.close();
  }, 30_000);

  test('a server that was killed is a miss; one that comes back, with what it has, is used again', async () => {
    const store = await open();
    const person = newPerson();
    await store.write(person, Buffer.alloc(100, 1));
    server.kill('SIGKILL');
    await expect(vi.waitFor(() => store.read(person).then(() => Promise.reject(new Error('read'))))).rejects.toThrow();
    await expect(store.write(person, Buffer.alloc(100, 1))).rejects.toMatchObject({ kind: 'unavailable' });
    expect(store.restMs).toBeGreaterThan(0);
    await expect(store.forget(person)).rejects.toMatchObject({ kind: 'unavailable' });
    await server.restart();
    expect(await vi.waitFor(() => store.read(person), { timeout: 10_000 })).toBeUndefined();
    expect(await vi.waitFor(() => store.write(person, Buffer.alloc(100, 3)), { timeout: 10_000 })).toBe('written');
    expect(await store.read(person)).toEqual(Buffer.alloc(100, 3));
    await store.close();
  }, 30_000);

  test('a tier finds and restores from it what arrives in many pieces', async () => {
    const cell = new MadeUpCell();
    const shape = { layers: 2, width: 65, capacity: 700 };
    const codec = await openCodec('f16', cell.engine, shape);
    const tier = await cell.openTier({ codec, shape, store: await open({ timeoutMs: 5_000, maxBytes: 1e7 }) });
    const persons = Array.from({ length: 4 }, newPerson);
    for (const [index, person] of persons.entries()) {
      const content = { length: 697 + index, sequence: 9, hash: 9n };
      cell.slots.set(person, { content, lastMs: 1, tensors: someTensors(shape, index) });
      tier.offer(person);
    }
    await vi.waitFor(() => expect(tier.stats().writes).toBe(4), 20_000);
    const entries = await Promise.all(persons.map((person) => tier.find(person)));
    for (const [index, entry] of entries.entries()) {
      const into = emptyTensors(shape);
      await entry!.restore(into, {});
      const was = someTensors(shape, index).values[1]!;
      expect(into.values[1]!.subarray(0, 697 * 65).every((value, i) => Math.abs(value - was[i]!) < 2 ** -11)).toBe(
        true,
      );
    }
    await tier.close({ flushMs: 0 });
    await cell.close();
  }, 60_000);

  test('a server that is not there does not keep it from opening', async () => {
    const store = await open({ place: placeOf(1) });
    await expect(store.read(newPerson())).rejects.toMatchObject({ kind: 'unavailable' });
    await store.close();
  });
});

describe.skipIf(hasNoRedis())('a Redis Cluster', () => {
  let cluster: Awaited<ReturnType<typeof startTestCluster>>;
  let clients: Redis[];
  beforeAll(async () => {
    cluster = await startTestCluster();
    clients = cluster.servers.map(({ port }) => new Redis(port, '127.0.0.1'));
  });
  afterAll(async () => {
    for (const client of clients) client.disconnect();
    await cluster.remove();
  });
  warmStoreConformance('a Redis Cluster', async () => {
    await Promise.all(clients.map((client) => client.flushall()));
    const holds = async (person: string) =>
      (await Promise.all(clients.map((client) => holdsAny(client, person)))).includes(true);
    const limits = { maxAgeMs: HOUR, maxEntryBytes: 1e5, timeoutMs: 2_000 };
    return {
      open: (terms) =>
        openRedisStore({ ...limits, ...terms, place: placeOf(...cluster.servers.map(({ port }) => port)) }),
      holds,
      remove: async () => {},
    };
  });
});

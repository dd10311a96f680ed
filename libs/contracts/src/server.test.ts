import { setTimeout as after } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { invalidArgument, OnepassError } from '@onepass/errors';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { afterEach, expect, test } from 'vitest';
import { connectTo, createClient } from './client.js';
import { EventService } from './gen/onepass/gateway/v1/event_pb.js';
import { RankingService } from './gen/onepass/ranking/v1/ranking_pb.js';
import { isServing } from './health.js';
import { type Handlers, implement } from './implement.js';
import { type RunningServer, startServer } from './server.js';

const running: { stop(graceMs: number): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((s) => s.stop(0)));
});

async function ranking(
  handlers: Handlers<typeof RankingService>,
  port = 0,
  host = '127.0.0.1',
): Promise<RunningServer> {
  const server = await startServer({
    role: 'ranking',
    host,
    port,
    services: [
      implement(RankingService, handlers),
      implement(EventService, {}, { unserved: { logSlate: 'slates come later' } }),
    ],
    logger: silentLogger,
    measurements: new Measurements(),
    messageBytes: 1000,
  });
  running.push(server);
  return server;
}

async function kindOf(call: Promise<unknown>): Promise<[string, string]> {
  const error = await call.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(OnepassError);
  return [(error as OnepassError).kind, (error as OnepassError).message];
}

test('a typed call goes there and back; its deadline arrives', async () => {
  const server = await ranking({
    rank: (request, call) => ({
      releaseId: request.kv?.releaseId ?? '',
      actions: [String(call.remainingMs() <= 5000)],
    }),
  });
  const client = createClient(RankingService, server.address);
  const reply = await client.rank({ kv: { releaseId: 'r-1' } }, { deadlineMs: Date.now() + 5000 });
  expect([reply.releaseId, reply.actions]).toEqual(['r-1', ['true']]);
  client.close();
});

test('errors cross with kind and sentence; a defect says nothing of the inside', async () => {
  const server = await ranking({
    rank: () => {
      throw invalidArgument('candidates', 'is NaN');
    },
    describe: () => {
      throw new TypeError('secret');
    },
  });
  const connection = connectTo(server.address);
  const client = connection.client(RankingService);
  expect(await kindOf(client.rank({}))).toEqual(['invalid_argument', 'candidates: is NaN']);
  expect(await kindOf(client.describe({}))).toEqual(['internal', 'internal error']);
  expect(await kindOf(connection.client(EventService).logSlate({}))).toEqual(['unimplemented', 'slates come later']);
  connection.close();
});

test('an oversize or broken message is refused by name', async () => {
  const server = await ranking({ rank: () => ({}) });
  const client = createClient(RankingService, server.address);
  const oversize = client.rank({ candidates: { values: new Uint8Array(1500) } });
  expect(await kindOf(oversize)).toEqual(['invalid_argument', expect.stringContaining('message: 15')]);
  client.close();
  const raw = new grpc.Client(server.address, grpc.credentials.createInsecure());
  const status = await new Promise<grpc.ServiceError | null>((resolve) => {
    const bytes = (b: Buffer) => b;
    raw.makeUnaryRequest('/onepass.ranking.v1.RankingService/Rank', bytes, bytes, Buffer.from([255, 255]), resolve);
  });
  expect([status?.code, status?.details]).toEqual([
    grpc.status.INVALID_ARGUMENT,
    'message: is not a valid onepass.ranking.v1.RankRequest',
  ]);
  raw.close();
});

test('the handler is told when its caller goes and when the deadline passes', async () => {
  const reasons: string[] = [];
  let told = (): void => {};
  const server = await ranking({
    rank: (_, call) =>
      new Promise((_resolve, reject) => {
        call.signal.addEventListener('abort', () => {
          reasons.push((call.signal.reason as OnepassError).kind);
          reject(call.signal.reason);
          told();
        });
      }),
  });
  const client = createClient(RankingService, server.address);
  const toldOnce = () =>
    new Promise<void>((resolve) => {
      told = resolve;
    });
  let wait = toldOnce();
  const controller = new AbortController();
  const call = kindOf(client.rank({}, { signal: controller.signal }));
  await client.describe({}).catch(() => {}); // the first call has reached the server once the second is answered
  controller.abort();
  expect((await call)[0]).toBe('cancelled');
  await wait;
  wait = toldOnce();
  expect((await kindOf(client.rank({}, { deadlineMs: Date.now() + 100 })))[0]).toBe('deadline_exceeded');
  await wait;
  expect(reasons[0]).toBe('cancelled');
  expect(reasons).toHaveLength(2);
  client.close();
});

test('health follows, a port in use is one sentence, and a drain lets a call in flight finish', async () => {
  let release = (): void => {};
  let entered = (): void => {};
  const inside = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const server = await ranking({
    rank: async () => {
      entered();
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return { releaseId: 'done' };
    },
  });
  expect(await isServing(server.address, 2000)).toBe(false);
  server.setServing(true);
  expect(await isServing(server.address, 2000)).toBe(true);
  await expect(ranking({}, server.port)).rejects.toThrow(
    `ranking cannot listen on ${server.address}: the port is in use`,
  );
  // TEST-NET-1: an address that no host has.
  await expect(ranking({}, 0, '192.0.2.1')).rejects.toThrow(
    'ranking cannot listen on 192.0.2.1:0: this host has no such address',
  );
  const client = createClient(RankingService, server.address);
  const call = client.rank({});
  await inside;
  const stopped = server.stop(10_000);
  await after(0);
  release();
  expect((await call).releaseId).toBe('done');
  await stopped;
  expect((await kindOf(client.rank({}, { deadlineMs: Date.now() + 2000 })))[0]).toMatch(
    /unavailable|deadline_exceeded/,
  );
  client.close();
});

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { expect, test, vi } from 'vitest';
import { createClient } from './client.js';
import { RankingService } from './gen/onepass/ranking/v1/ranking_pb.js';
import { implement } from './implement.js';
import { startServer } from './server.js';

test('a connection whose other end has gone without a word is made anew', async () => {
  const server = await startServer({
    role: 'ranking',
    host: '127.0.0.1',
    port: 0,
    services: [implement(RankingService, { describe: () => ({ role: 'ranking' }) })],
    logger: silentLogger,
    measurements: new Measurements(),
  });
  const links: [client: Socket, upstream: Socket][] = [];
  const proxy = createServer((client) => {
    const upstream = connect(server.port, '127.0.0.1');
    links.push([client, upstream]);
    for (const end of [client, upstream]) end.on('error', () => {});
    client.pipe(upstream).pipe(client);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const ranking = createClient(RankingService, `127.0.0.1:${(proxy.address() as AddressInfo).port}`);
  const describe = () => ranking.describe({}, { deadlineMs: Date.now() + 500 });
  expect(await describe()).toMatchObject({ role: 'ranking' });
  const [[client, upstream]] = links as [(typeof links)[number]];
  client.unpipe(upstream);
  client.pause();
  await expect(describe()).rejects.toMatchObject({ kind: 'deadline_exceeded' });
  await vi.waitFor(describe, { timeout: 15_000 });
  expect(links).toHaveLength(2);
  ranking.close();
  await server.stop(0);
  proxy.close();
  for (const end of links.flat()) end.destroy();
}, 20_000);

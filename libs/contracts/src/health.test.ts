import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { expect, test } from 'vitest';
import { connectTo } from './client.js';
import { UserEncoderService } from './gen/onepass/encoder/v1/encoder_pb.js';
import { RankingService } from './gen/onepass/ranking/v1/ranking_pb.js';
import { implement } from './implement.js';
import { startServer } from './server.js';

test('a connection tells what its server says of a service, and what it does not say', async () => {
  const at = { role: 'ranking', host: '127.0.0.1', logger: silentLogger, measurements: new Measurements() };
  const start = (port: number) => startServer({ ...at, port, services: [implement(RankingService, {})] });
  const server = await start(0);
  const connection = connectTo(server.address);
  const ranking = () => connection.health(RankingService, 5_000);
  expect(await ranking()).toBe('not_serving');
  server.setServing(true);
  expect(await ranking()).toBe('serving');
  expect(await connection.health(UserEncoderService, 5_000)).toBe('unknown_service');
  await server.stop(0);
  expect(await ranking()).toBe('unreachable');
  connection.close();
  expect(await ranking()).toBe('unreachable');
});

test('a host that takes connections and says nothing is late', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const connection = connectTo(`127.0.0.1:${(silent.address() as AddressInfo).port}`);
  expect(await connection.health(RankingService, 300)).toBe('late');
  connection.close();
  for (const socket of sockets) socket.destroy();
  silent.close();
});

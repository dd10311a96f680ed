import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { freePorts, requireFreePorts } from './ports.js';

test('free ports are different and free; a taken one is named', async () => {
  const ports = await freePorts('127.0.0.1', 4);
  expect(new Set(ports).size).toBe(4);
  // Linux gives 32768 and up to connections unless told otherwise.
  expect(Math.max(...ports)).toBeLessThan(32_768);
  await requireFreePorts('127.0.0.1', ports);
  const [, taken = 0] = ports;
  const server = createServer().listen(taken, '127.0.0.1');
  await once(server, 'listening');
  await expect(requireFreePorts('127.0.0.1', ports)).rejects.toThrow(
    `port ${taken} on 127.0.0.1 is in use; stop what listens there or choose other ports with --port N`,
  );
  server.close();
});

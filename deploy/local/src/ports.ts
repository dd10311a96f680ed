import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { startupError } from '@onepass/errors';

/**
 * Asks for `count` free ports. They are free when this answers; holding them all until the last is found keeps them different.
 */
export async function freePorts(host: string, count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listen(host, 0)));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  await Promise.all(servers.map((server) => once(server, 'close')));
  return ports;
}

/** @throws OnepassError `startup` naming the first port that something listens on. */
export async function requireFreePorts(host: string, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const server = await listen(host, port).catch((error: NodeJS.ErrnoException) => {
      throw startupError(portProblem(host, port, error), error);
    });
    server.close();
    await once(server, 'close');
  }
}

async function listen(host: string, port: number) {
  const server = createServer().listen(port, host);
  await once(server, 'listening');
  return server;
}

function portProblem(host: string, port: number, error: NodeJS.ErrnoException): string {
  if (error.code === 'EADDRINUSE') {
    return `port ${port} on ${host} is in use; stop what listens there or choose other ports with --port N`;
  }
  if (error.code === 'EACCES') return `this user may not listen on port ${port}; choose other ports with --port N`;
  return `cannot listen on port ${port} of ${host}: ${error.message}`;
}

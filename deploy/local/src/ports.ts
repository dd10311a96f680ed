import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { startupError } from '@onepass/errors';

const LOWEST = 10_000;
const TRIES = 1_000;

/**
 * Finds `count` free ports, free when this answers, below those that the kernel gives to connections: a client that tries a dead port of that
 * range again and again may be given that very port for its own end, connect to itself, and hold the port for a minute.
 */
export async function freePorts(host: string, count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count && tries < TRIES; tries += 1) {
    const port = randomInt(LOWEST, lowestGivenOut());
    const isFree = requireFreePorts(host, [port]).then(
      () => true,
      () => false,
    );
    if (await isFree) ports.add(port);
  }
  if (ports.size < count) throw startupError(`there are not ${count} free ports on ${host}`);
  return [...ports];
}

/** Of the ports that the kernel gives to connections; 32768 where it does not say. */
function lowestGivenOut(): number {
  try {
    const lowest = Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), 10);
    return lowest > LOWEST + TRIES ? lowest : 32_768;
  } catch {
    return 32_768;
  }
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

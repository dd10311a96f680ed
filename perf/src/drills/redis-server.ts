import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startupError } from '@onepass/errors';
import { freePorts } from '@onepass/local';

const HOST = '127.0.0.1';

/** A redis-server that keeps what it acknowledges, made to be killed. */
export interface KillableRedis {
  readonly url: string;
  /** Unless it runs. */
  start(): Promise<void>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
}

/**
 * @param folder where its files go
 * @throws OnepassError `startup` when there is no redis-server
 */
export async function startRedisServer(folder: string): Promise<KillableRedis> {
  const [port] = await freePorts(HOST, 1);
  const file = join(folder, 'redis.conf');
  writeFileSync(file, `bind ${HOST}\nport ${port}\ndir ${folder}\nappendonly yes\nappendfsync always\nsave ""\n`);
  let server: ChildProcess | undefined;
  const runs = () => server !== undefined && server.exitCode === null && server.signalCode === null;
  const start = async () => {
    if (!runs()) server = await ready(spawn('redis-server', [file], { stdio: ['ignore', 'pipe', 'inherit'] }));
  };
  await start();
  return {
    url: `redis://${HOST}:${port}`,
    start,
    kill: async () => {
      if (server === undefined || !runs()) return;
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    },
  };
}

async function ready(server: ChildProcess): Promise<ChildProcess> {
  const missing = once(server, 'error').then(([error]) => {
    throw startupError('redis-server cannot be started: install it (Debian: apt-get install redis-server)', error);
  });
  const told = (async () => {
    for await (const line of createInterface(server.stdout!)) {
      if (line.includes('Ready to accept connections')) return server.stdout!.resume();
    }
    throw startupError('redis-server ended before it was ready');
  })();
  // Whichever loses says no more.
  for (const one of [missing, told]) one.catch(() => {});
  await Promise.race([missing, told]);
  return server;
}

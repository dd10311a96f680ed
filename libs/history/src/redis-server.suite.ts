import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { RedisPlace } from './index.js';

/** A redis-server of a test's own, on a free port of the loopback, in a directory of its own. */
export interface RedisServer {
  readonly port: number;
  /** Where its files lie. */
  readonly directory: string;
  readonly place: RedisPlace;
  readonly process: ChildProcess;
  kill(signal: NodeJS.Signals): void;
  /** Starts it again on the same port and files, after it was killed. */
  restart(): Promise<void>;
  remove(): Promise<void>;
}

export const DURABLE = {
  appendonly: 'yes',
  appendfsync: 'always',
  'no-appendfsync-on-rewrite': 'no',
  'maxmemory-policy': 'noeviction',
  save: '',
};

/** For `describe.skipIf`: what is skipped is told by name by `npm test`, and is a failure in CI. */
export const noRedis = !['redis-server', 'redis-cli'].every(isOnPath);

export function placeOf(...ports: number[]): RedisPlace {
  const nodes = ports.map((port) => ({ host: '127.0.0.1', port }));
  return { nodes, tls: false, username: undefined, password: undefined, database: 0 };
}

export async function startRedis(config: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), 'onepass-redis-'));
  const port = await freePort();
  const settings = { ...DURABLE, port: String(port), bind: '127.0.0.1', dir: directory, ...config };
  const file = join(directory, 'redis.conf');
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value || '""'}\n`);
  writeFileSync(file, lines.join(''));
  let child = await spawnReady(file);
  return {
    port,
    directory,
    place: placeOf(port),
    get process() {
      return child;
    },
    kill: (signal) => child.kill(signal),
    restart: async () => {
      child = await spawnReady(file);
    },
    remove: async () => {
      await end(child);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Three masters. */
export async function startCluster(): Promise<{
  readonly place: RedisPlace;
  readonly servers: readonly RedisServer[];
  remove(): Promise<void>;
}> {
  const servers = await Promise.all(
    [1, 2, 3].map(async () => startRedis({ 'cluster-enabled': 'yes', 'cluster-port': String(await freePort()) })),
  );
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`);
  execFileSync('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'], { stdio: 'pipe' });
  return {
    place: placeOf(...servers.map(({ port }) => port)),
    servers,
    remove: async () => {
      await Promise.all(servers.map((server) => server.remove()));
    },
  };
}

/** Resolves when the process has ended. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

async function spawnReady(file: string): Promise<ChildProcess> {
  const child = spawn('redis-server', [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    told.push(line);
    if (line.includes('Ready to accept connections')) {
      child.stdout.resume();
      return child;
    }
  }
  throw new Error(`redis-server did not start: ${told.join('\n')}`);
}

/** Below the ports that the kernel gives to connections: a client that tries a dead port of those again and again may connect to itself. */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(randomInt(10_000, 32_768), '127.0.0.1');
    const [taken] = await Promise.race([once(server, 'listening'), once(server, 'error')]).catch((error) => [error]);
    if (taken !== undefined) continue;
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    return port;
  }
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

/** A redis-server of a test's own, on a free port of the loopback, in a directory of its own. */
export interface TestRedis {
  readonly port: number;
  /** Where its files lie. */
  readonly directory: string;
  readonly process: ChildProcess;
  kill(signal: NodeJS.Signals): void;
  /** Starts it again on the same port and files, after it was killed. */
  restart(): Promise<void>;
  remove(): Promise<void>;
}

/** For `describe.skipIf`: redis-server or redis-cli is not here. What is skipped is told by name by `npm test`, and is a failure in CI. */
export function hasNoRedis(): boolean {
  return !['redis-server', 'redis-cli'].every(isOnPath);
}

/** @param config lines of its configuration; it keeps nothing unless told otherwise */
export async function startTestRedis(config: Readonly<Record<string, string>> = {}): Promise<TestRedis> {
  const directory = mkdtempSync(join(tmpdir(), 'onepass-redis-'));
  const port = await freePort();
  const settings = { port: String(port), bind: '127.0.0.1', dir: directory, save: '', ...config };
  const file = join(directory, 'redis.conf');
  writeFileSync(
    file,
    Object.entries(settings)
      .map(([name, value]) => `${name} ${value || '""'}\n`)
      .join(''),
  );
  let server = await spawnReady(file);
  return {
    port,
    directory,
    get process() {
      return server;
    },
    kill: (signal) => {
      server.kill(signal);
    },
    restart: async () => {
      await end(server);
      server = await spawnReady(file);
    },
    remove: async () => {
      await end(server);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Three masters. */
export async function startTestCluster(
  config: Readonly<Record<string, string>> = {},
): Promise<{ readonly servers: readonly TestRedis[]; remove(): Promise<void> }> {
  const servers = await Promise.all(
    [1, 2, 3].map(async () =>
      startTestRedis({ ...config, 'cluster-enabled': 'yes', 'cluster-port': String(await freePort()) }),
    ),
  );
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`);
  execFileSync('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'], { stdio: 'pipe' });
  // Each of them learns a moment later that the cluster is whole, and turns clients away until then.
  for (const { port } of servers) while (!isWhole(port));
  return {
    servers,
    remove: async () => {
      await Promise.all(servers.map((server) => server.remove()));
    },
  };
}

function isWhole(port: number): boolean {
  return execFileSync('redis-cli', ['-p', String(port), 'cluster', 'info'], { encoding: 'utf8' }).includes(
    'cluster_state:ok',
  );
}

/** Resolves when the process has ended. */
export async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exited = once(server, 'exit');
  server.kill('SIGKILL');
  await exited;
}

async function spawnReady(file: string): Promise<ChildProcess> {
  const server = spawn('redis-server', [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: string[] = [];
  for await (const line of createInterface(server.stdout)) {
    told.push(line);
    if (line.includes('Ready to accept connections')) {
      server.stdout.resume();
      return server;
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

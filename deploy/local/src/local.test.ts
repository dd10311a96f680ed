import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEVICE_GRAPHS, SMOKE_RELEASE } from '@onepass/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { childrenOf, isRunning } from './fixtures/processes.js';
import { repositoryRoot } from './mesh.js';
import { requireFreePorts } from './ports.js';

const releaseDir = SMOKE_RELEASE;
const program = join(repositoryRoot, 'deploy/local/dist/main.js');

let folder: string;
let launched: Launch[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'onepass-local-test-'));
  launched = [];
});
afterEach(() => {
  for (const launch of launched) launch.process.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** The launcher as a process of its own, as `npm start` runs it once things are built. */
class Launch {
  readonly process: ChildProcess;
  readonly ended: Promise<number | null>;
  stdout = '';
  stderr = '';

  constructor(...args: string[]) {
    this.process = spawn(process.execPath, [program, ...args], {
      // Other tests take the processor: what is tested is what pages hold, not how soon they come.
      env: { ...process.env, ONEPASS_BUDGET_MS: '10000' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.process.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.ended = once(this.process, 'close').then(([code]) => code);
    launched.push(this);
  }

  get children(): number[] {
    return childrenOf(this.process.pid ?? 0);
  }

  /** Resolves when `text` has been printed. */
  printed(text: string): Promise<void> {
    return vi.waitFor(
      () => {
        if (!this.stdout.includes(text)) throw new Error(`not printed yet: ${text}\n${this.stdout}\n${this.stderr}`);
      },
      { timeout: 25_000, interval: 20 },
    );
  }
}

const leftInSharedMemory = (pid: number) => readdirSync('/dev/shm').filter((name) => name.includes(`-${pid}-`));
const UP = 'Ctrl-C stops everything';

test('a smoke run shows two pages and the change, fits 110 columns, and leaves nothing', async () => {
  const launch = new Launch('--smoke', '--release', releaseDir);
  expect(await launch.ended).toBe(0);
  expect(launch.stderr).toBe('');
  for (const text of ['Home page of "demo"', 'Related to', 'after that', 'KV APPEND', 'grpcurl', 'ghz']) {
    expect(launch.stdout).toContain(text);
  }
  const tables = launch.stdout.split('\n').filter((line) => !line.includes(tmpdir()));
  expect(Math.max(...tables.map((line) => [...line].length))).toBeLessThanOrEqual(110);
  expect(launch.stdout).not.toContain('\x1b[');
  expect(leftInSharedMemory(launch.process.pid ?? 0)).toEqual([]);
});

test('a smoke run over a device cell shows the same', async () => {
  const launch = new Launch('--smoke', '--release', releaseDir, '--device-graphs', DEVICE_GRAPHS.smoke);
  expect(await launch.ended).toBe(0);
  expect(launch.stderr).toBe('');
  for (const text of ['device-cell', 'Home page of "demo"', 'KV APPEND']) expect(launch.stdout).toContain(text);
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s stops everything', async (signal) => {
  const launch = new Launch('--ephemeral', '--no-demo', '--release', releaseDir, '--port', await fourPorts());
  await launch.printed(UP);
  const children = launch.children;
  expect(children).toHaveLength(4);
  launch.process.kill(signal);
  expect(await launch.ended).toBe(0);
  expect(children.filter(isRunning)).toEqual([]);
});

test('when the launcher is killed, the processes end by themselves, and the next run tidies up', async () => {
  const launch = new Launch('--ephemeral', '--no-demo', '--release', releaseDir, '--port', await fourPorts());
  await launch.printed(UP);
  const children = launch.children;
  launch.process.kill('SIGKILL');
  await launch.ended;
  await vi.waitUntil(() => !children.some(isRunning), { timeout: 20_000, interval: 20 });
  expect(leftInSharedMemory(launch.process.pid ?? 0)).toHaveLength(1);
  await new Launch('--smoke', '--no-demo', '--release', releaseDir).ended;
  expect(leftInSharedMemory(launch.process.pid ?? 0)).toEqual([]);
});

test('a port in use: one sentence, and a non-zero exit', async () => {
  const port = Number(await fourPorts());
  const server = createServer().listen(port + 2, '127.0.0.1');
  await once(server, 'listening');
  const launch = new Launch('--ephemeral', '--release', releaseDir, '--port', String(port));
  expect(await launch.ended).toBe(1);
  expect(launch.stderr).toBe(
    `port ${port + 2} on 127.0.0.1 is in use; stop what listens there or choose other ports with --port N\n`,
  );
  server.close();
});

test('a release that is not there: one sentence naming it', async () => {
  const launch = new Launch('--smoke', '--release', join(folder, 'nowhere'));
  await expectOneSentence(launch, 'nowhere');
});

test.each(['graphs/rank.onnx', 'items/table.f16', 'index/shard-0.seg'])(
  'a damaged %s: one sentence naming it',
  async (file) => {
    const damaged = join(folder, 'release');
    cpSync(releaseDir, damaged, { recursive: true });
    writeSync(openSync(join(damaged, file), 'r+'), 'damage', 64);
    await expectOneSentence(new Launch('--smoke', '--release', damaged), file);
  },
);

test('a data directory that cannot be made: one sentence naming it', async () => {
  const data = join(folder, 'a-file', 'data');
  writeFileSync(join(folder, 'a-file'), '');
  const launch = new Launch('--release', releaseDir, '--data', data, '--port', await fourPorts());
  await expectOneSentence(launch, data);
});

test('histories outlive a restart', async () => {
  const args = ['--release', releaseDir, '--data', join(folder, 'data'), '--port', await fourPorts()];
  const first = new Launch(...args);
  await first.printed(UP);
  first.process.kill('SIGINT');
  await first.ended;
  expect(first.stdout).toContain('"demo" is new here');
  const second = new Launch(...args);
  await second.printed(UP);
  expect(second.stdout).not.toContain('is new here');
  second.process.kill('SIGINT');
  expect(await second.ended).toBe(0);
});

test.skipIf(!has('grpcurl') || !has('ghz'))('the printed grpcurl and ghz lines work as they stand', async () => {
  const launch = new Launch('--ephemeral', '--release', releaseDir, '--port', await fourPorts());
  await launch.printed(UP);
  const commands = /work as they stand\n([\s\S]*?)\n\n/.exec(launch.stdout)?.[1] ?? '';
  expect(commands.match(/^ {2}\w/gm)).toHaveLength(4);
  const output = execFileSync('bash', ['-euc', commands], { encoding: 'utf8' });
  expect(output).toContain('"slateId"');
  expect(output).toContain('STATUS_ACCEPTED');
  expect(output).toMatch(/\[OK\]\s+200 responses/);
  launch.process.kill('SIGINT');
  await launch.ended;
});

async function expectOneSentence(launch: Launch, naming: string): Promise<void> {
  expect(await launch.ended).toBe(1);
  expect(launch.stderr.trim().split('\n')).toHaveLength(1);
  expect(launch.stderr).toContain(naming);
  expect(launch.stderr).not.toContain('    at ');
  expect(leftInSharedMemory(launch.process.pid ?? 0)).toEqual([]);
}

/** The first of four consecutive free ports, below those that the kernel gives out. */
async function fourPorts(): Promise<string> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const ports = [first, first + 1, first + 2, first + 3];
    const free = await requireFreePorts('127.0.0.1', ports).then(
      () => true,
      () => false,
    );
    if (free) return String(first);
  }
}

function has(command: string): boolean {
  const folders = (process.env.PATH ?? '').split(':');
  return folders.some((path) => existsSync(join(path, command)));
}

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { user } from '@onepass/client';
import { isServing } from '@onepass/contracts';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { freePorts } from '../ports.js';
import { RoleProcess } from '../role-process.js';
import { BrokenMesh, detailsOf } from './broken-mesh.suite.js';
import { type SlowLink, slowLink } from './slow-link.suite.js';

let written = 0;
/** One more action of a person; answers the person's sequence. */
async function log(broken: BrokenMesh, person: string): Promise<bigint> {
  const event = { eventId: `w${written++}`, itemId: 'i00300', actions: ['click'], surface: 'home' };
  return (await broken.onepass.logActions({ person: user(person), events: [event] })).historySequence;
}
const patiently = (check: () => Promise<unknown>) => vi.waitFor(check, { timeout: 20_000, interval: 20 });

describe('LMDB', () => {
  let broken: BrokenMesh;
  beforeAll(async () => {
    broken = await BrokenMesh.start();
  });
  afterAll(() => broken.end());

  test('a full disk: writes are refused, none that was acknowledged is lost, pages stay whole', async () => {
    const gateway = broken.pid('gateway');
    const file = join(broken.mesh.plans[0]?.env.ONEPASS_DATA_DIR ?? '', 'history', 'data.mdb');
    let acknowledged = await log(broken, 'writer');
    // No file of the process may grow beyond what the store's has: what a full disk says, said without one.
    limitFileSize(gateway, `${statSync(file).size}:`);
    await expect(
      (async () => {
        for (let i = 0; i < 10_000; i++) acknowledged = await log(broken, 'writer');
      })(),
    ).rejects.toMatchObject({ kind: 'unavailable', message: 'the history store cannot be written' });
    expect((await broken.page()).degraded).toEqual([]);
    limitFileSize(gateway, 'unlimited:');
    await patiently(async () => expect(await log(broken, 'writer')).toBe(acknowledged + 1n));
    expect(broken.pid('gateway')).toBe(gateway);
    await broken.restart('gateway', {});
    await patiently(async () => expect(await log(broken, 'writer')).toBe(acknowledged + 2n));
    await broken.untilWhole();
  });

  test('a full disk under the log file stops no process', async () => {
    const plan = broken.mesh.plans.find(({ role }) => role === 'retrieval');
    const [port] = await freePorts('127.0.0.1', 1);
    if (plan === undefined) throw new Error('no retrieval');
    const address = `127.0.0.1:${port}`;
    const role = new RoleProcess({ ...plan, address, env: { ...plan.env, ONEPASS_PORT: String(port) } }, '/dev/full');
    await patiently(async () => expect(await isServing(address, 5_000)).toBe(true));
    role.signal('SIGTERM');
    expect(await role.ended).toEqual({ code: 0, signal: null });
  });

  test('the clock of a host steps: by an hour forth and back, pages stay whole and histories in order', async () => {
    const hour = 3_600_000;
    const source = `const { now } = Date; let step = 0; Date.now = () => now() + step;
      process.on('SIGUSR2', () => { step = step > 0 ? -${hour} : step + ${hour}; });`;
    await broken.restart('gateway', { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(source)}` });
    await broken.untilWhole();
    const request = { requestId: 'same', person: user('traveller'), surface: 'home' };
    const slate = await broken.onepass.recommend(request);
    let last = await log(broken, 'traveller');
    for (let steps = 0; steps < 3; steps++) {
      broken.signal('gateway', 'SIGUSR2');
      expect(await log(broken, 'traveller')).toBe(++last);
      expect((await broken.page()).degraded).toEqual([]);
      // Ten minutes of the gateway's own time, not of the clock on the wall.
      expect((await broken.onepass.recommend(request)).slateId).toBe(slate.slateId);
    }
  });
});

const noRedis = spawnSyncFails('redis-server', '--version');

describe.skipIf(noRedis)('Redis', () => {
  let broken: BrokenMesh;
  let link: SlowLink;
  let redis: ChildProcess;
  let port: number;
  const folder = mkdtempSync(join(tmpdir(), 'onepass-failure-redis-'));
  beforeAll(async () => {
    [port = 0] = await freePorts('127.0.0.1', 1);
    redis = await startRedis(port, folder);
    link = await slowLink(port);
    const settings = { ONEPASS_HISTORY: `redis://127.0.0.1:${link.port}` };
    broken = await BrokenMesh.start({ gateway: settings, 'user-encoder': settings });
  });
  afterAll(async () => {
    redis.kill('SIGCONT');
    await broken.end();
    await link.close();
    redis.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  afterEach(() => {
    redis.kill('SIGCONT');
    link.mend();
  });

  /** While the store is away, and when it is back. */
  async function survives(away: () => void, back: () => unknown): Promise<void> {
    const acknowledged = await log(broken, 'writer');
    await broken.untilWhole();
    away();
    // From the KV that is held: the same scores as ever.
    const page = await broken.page();
    expect(detailsOf(page)).toEqual(['HISTORY: the history store cannot be read']);
    expect(page.kvSource).toBe(2);
    await expect(log(broken, 'writer')).rejects.toThrow(/^the history store cannot be/);
    const stranger = await broken.onepass.recommend({ person: user('never seen'), surface: 'home' });
    expect(detailsOf(stranger)).toEqual(['HISTORY: the history store cannot be read']);
    expect(stranger.items.length).toBeGreaterThan(0);
    await back();
    // A write that was refused may have been done all the same, as one whose answer was lost.
    await patiently(async () => expect(await log(broken, 'writer')).toBeGreaterThan(acknowledged));
    await broken.untilWhole();
  }

  test('stopped: what is held is served, writes are refused; and whole again', () =>
    survives(
      () => redis.kill('SIGSTOP'),
      () => redis.kill('SIGCONT'),
    ));

  test('slow beyond the time a command may take', () =>
    survives(
      () => link.slow(600),
      () => link.mend(),
    ));

  test('cut off', () =>
    survives(
      () => link.cut(),
      () => link.mend(),
    ));

  test('killed and started again', () =>
    survives(
      () => redis.kill('SIGKILL'),
      async () => {
        redis = await startRedis(port, folder);
      },
    ));

  test('slow within that time: nothing is degraded', async () => {
    link.slow(20);
    expect((await broken.page()).degraded).toEqual([]);
  });
});

function limitFileSize(pid: number, limit: string): void {
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${limit}`]);
}

async function startRedis(port: number, folder: string): Promise<ChildProcess> {
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction', '--save', ''];
  const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  const child = spawn('redis-server', [...own, ...durable], { stdio: ['ignore', 'pipe', 'ignore'] });
  for await (const line of createInterface(child.stdout)) if (line.includes('Ready to accept')) break;
  child.stdout.resume();
  return child;
}

function spawnSyncFails(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
}

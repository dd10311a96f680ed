import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RolePlan } from './plan.js';
import { freePorts } from './ports.js';
import { Supervisor, type SupervisorEvent } from './supervisor.js';

const program = fileURLToPath(new URL('./fixtures/stub-role.mjs', import.meta.url));

let directory: string;
let events: SupervisorEvent[];
let running: Supervisor | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'onepass-supervisor-test-'));
  events = [];
});
afterEach(async () => {
  running?.kill();
  await running?.stop();
  running = undefined;
  rmSync(directory, { recursive: true });
});

/** One stub a name, failing as told. */
async function supervise(
  roles: Record<string, string>,
  startTimeoutMs = 20_000,
  waiting: readonly string[] = [],
): Promise<Supervisor> {
  const ports = await freePorts('127.0.0.1', Object.keys(roles).length);
  const plans = Object.entries(roles).map(([role, failure], index): RolePlan => {
    const env = { ONEPASS_PORT: String(ports[index]), STUB_FAILURE: failure, STUB_NAME: role, STUB_LOG: stopLog() };
    return { role, program, address: `127.0.0.1:${ports[index]}`, env, waits: waiting.includes(role) };
  });
  const onEvent = (event: SupervisorEvent) => events.push(event);
  const backOff = (attempt: number) => 10 * (attempt + 1);
  running = new Supervisor({ plans, logDir: directory, onEvent, check: listens, startTimeoutMs, backOff });
  return running;
}

const stopLog = () => join(directory, 'stops');

function listens(address: string): Promise<boolean> {
  const [host, port] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('who waits is started once the others serve, and not when all are stopped before', async () => {
  const started = await supervise({ front: '', back: '', side: '' }, 20_000, ['front']);
  await started.start();
  expect(events.map(({ role }) => role).at(-1)).toBe('front');
  await started.stop();
  const ended = await supervise({ front: '', back: 'never ready' }, 20_000, ['front']);
  const starting = ended.start();
  await vi.waitFor(() => expect(Object.keys(ended.pids())).toEqual(['back']));
  await ended.stop();
  await starting;
  expect(ended.pids()).toEqual({});
});

test('starts all, then drains them in reverse order and leaves none', async () => {
  const supervisor = await supervise({ encoder: '', ranking: '', gateway: '' });
  await supervisor.start();
  const pids = Object.values(supervisor.pids());
  expect(pids).toHaveLength(3);
  expect(events.map((e) => e.kind)).toEqual(['serving', 'serving', 'serving']);
  await supervisor.stop();
  expect(pids.filter(isAlive)).toEqual([]);
  expect(readFileSync(stopLog(), 'utf8')).toBe('gateway SIGTERM\nranking SIGTERM\nencoder SIGTERM\n');
});

test('a process that cannot start: its own sentence, and nothing left running', async () => {
  const supervisor = await supervise({ encoder: '', ranking: 'at start' });
  const started = supervisor.start();
  const pids = Object.values(supervisor.pids());
  await expect(started).rejects.toThrow(/^onepass stub: the release is damaged: graphs\/rank\.onnx$/);
  expect(pids).toHaveLength(2);
  expect(pids.filter(isAlive)).toEqual([]);
});

test('a process that ends without a word is named with its exit code', async () => {
  const supervisor = await supervise({ encoder: 'silently' });
  await expect(supervisor.start()).rejects.toThrow(
    'encoder ended with exit code 3 before it was ready; it said nothing',
  );
});

test('a process that never becomes ready is given up', async () => {
  const supervisor = await supervise({ encoder: 'never ready' }, 300);
  await expect(supervisor.start()).rejects.toThrow('encoder was not ready within 0.3 s; its log is ');
});

test('a process that dies is restarted, again and again', async () => {
  const supervisor = await supervise({ encoder: '', ranking: '' });
  await supervisor.start();
  const untouched = supervisor.pids().encoder;
  for (let round = 1; round <= 3; round += 1) {
    const before = supervisor.pids().ranking ?? 0;
    process.kill(before, 'SIGKILL');
    await vi.waitUntil(
      () => events.filter((e) => e.kind === 'serving' && e.role === 'ranking').length === round + 1,
      10_000,
    );
    expect(supervisor.pids().ranking).not.toBe(before);
  }
  const endings = events.filter((e) => e.kind === 'ended');
  expect(endings.map((e) => e.why)).toEqual(Array(3).fill('ended by SIGKILL'));
  expect(endings.map((e) => e.restartInMs)).toEqual([10, 20, 30]);
  expect(supervisor.pids().encoder).toBe(untouched);
});

test('stopping during a restart starts nothing more', async () => {
  const supervisor = await supervise({ encoder: '' });
  await supervisor.start();
  process.kill(supervisor.pids().encoder ?? 0, 'SIGKILL');
  await vi.waitUntil(() => events.some((e) => e.kind === 'ended'), 10_000);
  await supervisor.stop();
  expect(supervisor.pids()).toEqual({});
});

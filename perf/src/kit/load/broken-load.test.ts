import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePorts, repositoryRoot } from '@onepass/local';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { writeProtoset } from '../../ghz.js';
import { type GhzTerms, startGhz } from './ghz-load.js';
import { observe } from './observe.js';
import { startReplayer } from './replayer.js';
import { type LoadOptions, sendLoad } from './send-load.js';
import type { Sender } from './sender.js';
import { GHZ, startTinyServer } from './tiny-server.suite.js';

const folder = mkdtempSync(join(tmpdir(), 'onepass-broken-load-test-'));
let program: BundledProgram;
let options: LoadOptions;

vi.setConfig({ testTimeout: 60_000 });
beforeAll(async () => {
  program = await bundleProgram(new URL('./replayer.program.ts', import.meta.url));
  const protoset = join(folder, 'contract.binpb');
  await writeProtoset(repositoryRoot, protoset);
  const page = { surface: 'home', pageSize: 10, candidates: 100 };
  options = { seconds: 0.8, warmUpSeconds: 0.5, people: 4, page, folder, protoset, replayer: program.path };
});
afterAll(() => {
  program.remove();
  rmSync(folder, { recursive: true });
});

/** Kills the sender when the measured part begins: the target is asked for its counts then. */
async function killed(start: (address: string) => Promise<Sender>) {
  const tiny = await startTinyServer();
  try {
    const sender = await start(tiny.target.address);
    const degraded = async () => {
      process.kill(sender.pid, 'SIGKILL');
      return 0;
    };
    // More than the half second after which the replayer says what it saw.
    const observed = await observe({ ...tiny.target, degraded }, sender, { warmUpSeconds: 1.5, seconds: 60 });
    expect(observed.cutShort).toMatch(/^the sender ended \d+\.\d s into 60 s$/);
    return await sender.finished;
  } finally {
    await tiny.server.stop(0);
  }
}

test('where nothing answers, no load is sent', async () => {
  const [port] = await freePorts('127.0.0.1', 1);
  const target = { address: `127.0.0.1:${port}`, pids: () => ({}), degraded: async () => 0 };
  for (const load of [
    { kind: 'closed', concurrency: 1 },
    { kind: 'trace', people: 9, qps: 1 },
  ] as const) {
    await expect(sendLoad(load, target, options)).rejects.toMatchObject({
      kind: 'startup',
      message: expect.stringMatching(/^no load can be sent to 127\.0\.0\.1:\d+: connect ECONNREFUSED/),
    });
  }
});

test.skipIf(GHZ === undefined)(
  'a server that goes: its last good pages are there, and the errors after them',
  async () => {
    const tiny = await startTinyServer();
    let stopped: Promise<void> | undefined;
    const stopAfter = async (pages: number) => {
      while (tiny.asked.pages.length < pages) await delay(1);
      await tiny.server.stop(0);
    };
    // Asked for when the measured part begins, and when it has ended.
    const degraded = async () => {
      if (stopped !== undefined) throw new Error('gone');
      stopped = stopAfter(tiny.asked.pages.length + 5);
      return 0;
    };
    const { seen, notes } = await sendLoad({ kind: 'open', qps: 50 }, { ...tiny.target, degraded }, options);
    expect(seen.good).toBeGreaterThan(0);
    expect(seen.errors.UNAVAILABLE).toBeGreaterThan(0);
    expect(notes).toContain('the server did not say how many pages were degraded');
    await stopped;
  },
);

test.skipIf(GHZ === undefined)('a process that ends during the load is named', async () => {
  const tiny = await startTinyServer();
  const helper = spawn(process.execPath, ['-e', 'process.stdin.resume()']);
  const ended = once(helper, 'exit');
  const pids = () => ({ gateway: process.pid, helper: helper.pid as number });
  // Asked for before and after.
  let asked = 0;
  const target = {
    ...tiny.target,
    pids: () => {
      asked += 1;
      if (asked === 1) queueMicrotask(() => helper.kill());
      return pids();
    },
  };
  const { seen, cutShort } = await sendLoad({ kind: 'closed', concurrency: 2 }, target, options);
  expect(cutShort).toBe('helper ended during the load');
  expect(seen.good).toBeGreaterThan(0);
  await ended;
  await tiny.server.stop(0);
});

test('a replayer that is killed: what it saw until then is there, and says so', async () => {
  const { calls, cutShort } = await killed((address) =>
    startReplayer(
      {
        terms: {
          address,
          connections: 2,
          maxInFlight: 64,
          content: {
            runId: 'x',
            page: options.page,
            people: 4,
            habits: { surface: 'home', usual: [], seldom: [] },
            itemIds: [],
            queries: [],
          },
        },
        plain: { durationMs: 60_000, qps: 50, people: 4 },
      },
      { program: program.path, cores: [0] },
    ),
  );
  expect(cutShort).toBe('the replayer was ended by SIGKILL');
  expect(calls.length).toBeGreaterThan(0);
});

const ghzTerms = (address: string, more: Partial<GhzTerms> = {}): GhzTerms => {
  const requests = join(folder, 'requests.json');
  writeFileSync(requests, JSON.stringify([{ surface: 'home' }]));
  const { protoset } = options;
  const loop = { kind: 'closed', concurrency: 1 } as const;
  return { ghz: GHZ ?? '', address, protoset, requests, loop, connections: 1, seconds: 60, folder, ...more };
};

test.skipIf(GHZ === undefined)('a ghz that is killed, that cannot, and that is not there', async () => {
  const { calls, cutShort } = await killed((address) => startGhz(ghzTerms(address)));
  expect([calls, cutShort]).toEqual([[], expect.stringMatching(/^ghz was ended by SIGKILL: what it saw is lost/)]);
  const wrong = await startGhz(ghzTerms('127.0.0.1:1', { protoset: join(folder, 'none') }));
  await expect(wrong.finished).rejects.toThrow(/^ghz ended with code 1: .*none: no such file/);
  await expect(startGhz(ghzTerms('127.0.0.1:1', { ghz: join(folder, 'ghz') }))).rejects.toThrow(/does not start$/);
});

test('a trace that cannot be, and a program that is not there', async () => {
  const tiny = await startTinyServer();
  const habits = { surface: 'home', usual: ['click'], seldom: ['click'] };
  const parameters = { returning: 0, joining: 0 };
  const trace = { seed: 1, habits, itemIds: ['a'], surfaces: ['home'], queries: [], parameters };
  const load = { kind: 'trace', people: 3, qps: 50 } as const;
  await expect(sendLoad(load, tiny.target, { ...options, trace })).rejects.toThrow(
    /^a trace of 50 pages a second, 0 of them by people back within 10\.0 s, needs more than 3 people$/,
  );
  await expect(sendLoad(load, tiny.target, { ...options, trace, replayer: '/none.js' })).rejects.toThrow(
    /^the replayer ended with code 1 before it was ready: Error: Cannot find module '\/none.js'$/,
  );
  await expect(sendLoad(load, tiny.target, options)).rejects.toThrow('options.trace');
  await expect(sendLoad({ kind: 'open', qps: 0.1 }, tiny.target, options)).rejects.toThrow(
    'at least one page a second',
  );
  await tiny.server.stop(0);
});

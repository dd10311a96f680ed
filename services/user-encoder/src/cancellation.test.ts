import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OnepassError } from '@onepass/errors';
import { openLmdbHistory } from '@onepass/history';
import { createEngine } from '@onepass/inference';
import { expect, test } from 'vitest';
import { action, ask, call, fakeCell, person } from './fake-cell.suite.js';

const cancelled = new OnepassError({ kind: 'cancelled' }, 'the caller has gone');

test('of calls cancelled while they wait, for a graph run or for an encode of the same person, none is inferred', async () => {
  const cell = await fakeCell({ inFlight: 2 });
  try {
    let runs = 0;
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    cell.beforeRun = () => {
      runs += 1;
      return opened;
    };
    const gone = new AbortController();
    // One for all of them, as a test may have it and no server.
    setMaxListeners(0, gone.signal);
    const stay: Promise<unknown>[] = [];
    const leave: Promise<unknown>[] = [];
    for (let i = 0; i < 200; i += 1) {
      // Nobody in particular, and one person over and over.
      const who = i % 4 < 2 ? undefined : person(1);
      if (i < 2 || i % 2 === 0) stay.push(cell.encoder.encode(ask(who), call()));
      else leave.push(cell.encoder.encode(ask(who), call(10_000, gone.signal)).catch((error) => error));
    }
    gone.abort(cancelled);
    expect(new Set(await Promise.all(leave))).toEqual(new Set([cancelled]));
    open();
    await Promise.all(stay);
    expect([stay.length, leave.length, runs]).toEqual([101, 99, 101]);
  } finally {
    await cell.close();
  }
});

test('an LMDB commit does not wait for graph runs, under way or queued', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'onepass-cancellation-'));
  const history = openLmdbHistory(directory);
  const engine = createEngine({ provider: 'cpu', inFlight: 3, threads: 1 });
  try {
    const slow = await engine.load(fileURLToPath(import.meta.resolve('../../../libs/inference/fixtures/slow.onnx')));
    const tensor = (fill: number, shape: number[]) => {
      const { data } = engine.buffers.take(shape.reduce((a, b) => a * b, 1));
      return { data: data.fill(fill), shape };
    };
    const abort = new AbortController();
    setMaxListeners(0, abort.signal);
    const endless = Array.from({ length: 12 }, () => {
      const inputs = { x: tensor(1, [1, 4]), rounds: tensor(2_000_000_000, [1]) };
      return slow.run(inputs, { y: tensor(0, [1, 4]) }, { signal: abort.signal }).catch((error) => error);
    });
    expect([engine.running, engine.queued]).toEqual([3, 9]);
    for (let i = 0; i < 20; i += 1) await history.append(person(1), [action(`e${i}`, 'i1')]);
    expect([engine.running, engine.queued, engine.started]).toEqual([3, 9, 3]);
    abort.abort(cancelled);
    expect(new Set(await Promise.all(endless))).toEqual(new Set([cancelled]));
    expect(engine.started).toBe(3);
  } finally {
    await engine.close();
    await history.close();
    rmSync(directory, { recursive: true });
  }
});

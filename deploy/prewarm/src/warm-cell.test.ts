import {
  Degraded_Reason,
  type EncodeRequest,
  implement,
  KvSource,
  PLAINTEXT,
  type RunningServer,
  type ServerCall,
  startServer,
  UserEncoderService,
} from '@onepass/contracts';
import { OnepassError, overloaded, releaseMismatch } from '@onepass/errors';
import type { ActivePerson } from '@onepass/history';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { afterEach, expect, test, vi } from 'vitest';
import { EncoderCell } from './encoder-cell.js';
import { Tally, WarmCell, type WarmTerms } from './warm-cell.js';

type Answer = { readonly degraded?: { reason: Degraded_Reason; detail: string }[] };

/** A user-encoder whose answers a test decides. */
class Encoder {
  readonly requests: { readonly request: EncodeRequest; readonly call: ServerCall; readonly atMs: number }[] = [];
  answer: (nth: number, call: ServerCall) => Answer | Promise<Answer> = () => ({});
  server!: RunningServer;

  async start(): Promise<void> {
    const encode = async (request: EncodeRequest, call: ServerCall) => {
      const nth = this.requests.push({ request, call, atMs: performance.now() });
      const kv = { length: 3, historySequence: 4n };
      return { kv, kvSource: KvSource.RECOMPUTE, encodedTokens: 3, ...(await this.answer(nth, call)) };
    };
    const about = { releaseId: 'r', surfaces: ['home'] };
    this.server = await startServer({
      role: 'user-encoder',
      host: '127.0.0.1',
      port: 0,
      services: [implement(UserEncoderService, { encode, describe: () => about, forget: () => ({}) })],
      logger: silentLogger,
      measurements: new Measurements(),
    });
  }
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const people = (count: number): ActivePerson[] =>
  Array.from({ length: count }, (_, i) => ({ person: i.toString(16).padStart(32, '0'), lastMs: i, events: 4 }));

async function warming(terms: Partial<WarmTerms> = {}) {
  const encoder = new Encoder();
  await encoder.start();
  closing.push(() => encoder.server.stop(0));
  const { address } = encoder.server;
  const line = { name: 'one', encoder: address, ranking: address, state: 'serving' } as const;
  const cell = await EncoderCell.open(line, PLAINTEXT, { id: 'r', directory: '/r' });
  closing.push(() => cell.close());
  const tally = new Tally();
  const usual = { rate: 1_000, inFlight: 1, signal: new AbortController().signal };
  return { encoder, tally, cell: new WarmCell(cell, tally, { ...usual, ...terms }) };
}

test('people are asked for by key, behind everything, without queries and by a deadline', async () => {
  const { encoder, cell, tally } = await warming();
  await cell.warm(people(3));
  expect(tally).toMatchObject({ done: 3, people: { encoded: 3 } });
  expect(encoder.requests.map(({ request }) => Buffer.from(request.personKey).toString('hex'))).toEqual(
    people(3).map(({ person }) => person),
  );
  for (const { request, call } of encoder.requests) {
    expect(request).toMatchObject({ releaseId: 'r', queries: [], context: { surface: 'home' } });
    expect(request.person).toBeUndefined();
    expect(call.priority).toBe('batch');
    expect(call.remainingMs()).toBeLessThan(60_000);
  }
});

test('never more under way than may be, nor more a second', async () => {
  const { encoder, cell } = await warming({ rate: 100, inFlight: 3 });
  const waiting: (() => void)[] = [];
  let most = 0;
  encoder.answer = (nth) =>
    new Promise((resolve) => {
      waiting.push(() => resolve({}));
      most = Math.max(most, waiting.length);
      // All go on when as many as may be, or the last ones, are there.
      if (waiting.length === 3 || nth === 20) for (const go of waiting.splice(0)) go();
    });
  await cell.warm(people(20));
  expect(most).toBe(3);
  const times = encoder.requests.map(({ atMs }) => atMs);
  expect(times.at(-1)! - times[0]!).toBeGreaterThan(19 * 10 - 20);
});

test('while a cell that is overloaded asks for peace nobody is asked for; then the same person is', async () => {
  const { encoder, cell, tally } = await warming();
  encoder.answer = (nth) => {
    if (nth === 2) throw overloaded(300, 'busy');
    return {};
  };
  await cell.warm(people(3));
  const [, refused, again] = encoder.requests;
  expect(again!.request.personKey).toEqual(refused!.request.personKey);
  expect(again!.atMs - refused!.atMs).toBeGreaterThan(290);
  expect(tally.people).toMatchObject({ encoded: 3, refused: 0, failed: 0 });
});

test('a cell that cannot read the history, or lost the call, is tried again', async () => {
  const { encoder, cell, tally } = await warming();
  const degraded = [{ reason: Degraded_Reason.HISTORY, detail: 'the store is away' }];
  encoder.answer = (nth) => {
    if (nth === 2) throw new OnepassError({ kind: 'deadline_exceeded' }, 'late');
    return nth === 1 ? { degraded } : {};
  };
  await cell.warm(people(2));
  expect(encoder.requests).toHaveLength(4);
  expect(tally.people).toMatchObject({ encoded: 2, refused: 0, failed: 0 });
});

test('one person’s failure is counted and told, and the others go on', async () => {
  const { encoder, cell, tally } = await warming();
  encoder.answer = (nth) => {
    if (nth === 2) throw new Error('a defect');
    return {};
  };
  await cell.warm(people(4));
  expect(tally.people).toMatchObject({ encoded: 3, failed: 1 });
  expect([...tally.reasons.values()]).toEqual(['the cell one: internal error']);
});

test('a cell that serves another release by now is left at once', async () => {
  const { encoder, cell, tally } = await warming();
  encoder.answer = () => {
    throw releaseMismatch('r2', 'r', 'the request');
  };
  await cell.warm(people(4));
  expect(encoder.requests).toHaveLength(1);
  expect(tally.done).toBe(0);
  expect([...tally.reasons.values()]).toEqual([expect.stringContaining('the cell one was left: the request is of')]);
});

test('when it is ended the call under way is cancelled and nobody further asked for', async () => {
  const ending = new AbortController();
  const { encoder, cell, tally } = await warming({ signal: ending.signal });
  encoder.answer = async (nth, call) => {
    if (nth === 2) {
      ending.abort();
      await vi.waitFor(() => expect(call.signal.aborted).toBe(true));
    }
    return {};
  };
  await cell.warm(people(4));
  expect(tally).toMatchObject({ done: 1, people: { encoded: 1, failed: 0 } });
  await vi.waitFor(() => expect(encoder.requests[1]!.call.signal.aborted).toBe(true));
  expect(encoder.requests).toHaveLength(2);
});

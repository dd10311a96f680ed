import { RetryBudget } from '@onepass/admission';
import { type ErrorDetail, OnepassError } from '@onepass/errors';
import { expect, test } from 'vitest';
import { firstReachable } from './reach.js';
import type { Run } from './run.js';

const retries = new RetryBudget({ share: 0.2, minimumPerSecond: 3 }, Date.now);
const run = (isGivenUp = false) => ({ retries, mayRetry: () => true, isGivenUp }) as unknown as Run;

async function ends(detail: ErrorDetail, isGivenUp = false): Promise<[string, string[]]> {
  const told: string[] = [];
  const tell = (_: string, end: string, tookMs: number) => {
    expect(tookMs).toBeGreaterThanOrEqual(0);
    told.push(end);
  };
  const terms = { run: run(isGivenUp), stage: 'encode' as const, told: tell };
  const asked = firstReachable(terms, ['a', 'b'], () => Promise.reject(new OnepassError(detail, 'so')));
  const error = await asked.catch((thrown: OnepassError) => thrown);
  return [(error as OnepassError).kind, told];
}

test.each<[ErrorDetail, string[]]>([
  [{ kind: 'deadline_exceeded' }, ['late']],
  [{ kind: 'overloaded', retryAfterMs: 1 }, ['answered']],
  [{ kind: 'internal' }, ['answered']],
  [{ kind: 'unimplemented' }, ['unfit', 'unfit']],
  [{ kind: 'release_mismatch', expected: 'a', actual: 'b' }, ['unfit', 'unfit']],
])('%o says of a backend: %o', async (detail, expected) => {
  expect(await ends(detail)).toEqual([detail.kind, expected]);
});

test('cancelled by the caller says nothing; by the server it is a backend that is lost', async () => {
  expect(await ends({ kind: 'cancelled' }, true)).toEqual(['cancelled', []]);
  const [kind, told] = await ends({ kind: 'cancelled' });
  expect([kind, told.length]).toEqual(['unavailable', 2]);
});

import { RetryBudget } from '@onepass/admission';
import { type ErrorDetail, OnepassError } from '@onepass/errors';
import { expect, test } from 'vitest';
import { firstReachable } from './reach.js';
import type { Run } from './run.js';

const retries = new RetryBudget({ share: 0.2, minimumPerSecond: 3 }, Date.now);
const run = { retries, mayRetry: () => retries.take() } as unknown as Run;

test.each<[ErrorDetail, boolean[]]>([
  [{ kind: 'deadline_exceeded' }, []],
  [{ kind: 'cancelled' }, []],
  [{ kind: 'overloaded', retryAfterMs: 1 }, [true]],
  [{ kind: 'internal' }, [true]],
])('%o says of a backend that it could be reached: %o', async (detail, expected) => {
  const told: boolean[] = [];
  const terms = { run, stage: 'encode' as const, told: (_: string, reached: boolean) => told.push(reached) };
  const asked = firstReachable(terms, ['a', 'b'], () => Promise.reject(new OnepassError(detail, 'so')));
  await expect(asked).rejects.toMatchObject({ kind: detail.kind });
  expect(told).toEqual(expected);
});

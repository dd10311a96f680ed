import * as grpc from '@grpc/grpc-js';
import { type ErrorDetail, OnepassError } from '@onepass/errors';
import { expect, test } from 'vitest';
import { asInner, fromStatus, toStatus } from './status.js';

const EVERY_DETAIL: { [K in ErrorDetail['kind']]: ErrorDetail & { kind: K } } = {
  invalid_argument: {
    kind: 'invalid_argument',
    violations: [{ field: 'outcome_budgets[2].share', description: 'is NaN' }],
  },
  kv_miss: { kind: 'kv_miss', reason: 'the slot was reused' },
  release_mismatch: { kind: 'release_mismatch', expected: 'r-1', actual: 'r-2' },
  overloaded: { kind: 'overloaded', retryAfterMs: 1234 },
  unavailable: { kind: 'unavailable' },
  deadline_exceeded: { kind: 'deadline_exceeded' },
  cancelled: { kind: 'cancelled' },
  not_found: { kind: 'not_found' },
  unauthenticated: { kind: 'unauthenticated' },
  permission_denied: { kind: 'permission_denied' },
  unimplemented: { kind: 'unimplemented' },
  startup: { kind: 'startup' },
  internal: { kind: 'internal' },
};

test.each(Object.values(EVERY_DETAIL))('$kind survives the wire', (detail) => {
  const sent = toStatus(new OnepassError(detail, 'a sentence with ümlaut', { cause: new Error('secret') }));
  const received = fromStatus(Object.assign(new Error(), sent));
  expect(received.detail).toEqual(detail);
  expect(received.message).toBe('a sentence with ümlaut');
  expect(JSON.stringify(sent.metadata.toJSON())).not.toContain('secret');
});

test('a status without our details, or with broken ones, keeps its meaning', () => {
  const metadata = new grpc.Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from([255, 255, 255]));
  for (const m of [new grpc.Metadata(), metadata]) {
    const bare = Object.assign(new Error(), { code: grpc.status.RESOURCE_EXHAUSTED, details: 'full', metadata: m });
    expect(fromStatus(bare).detail).toEqual({ kind: 'overloaded', retryAfterMs: 0 });
  }
});

test("a stage's complaint never becomes the caller's", () => {
  for (const detail of Object.values(EVERY_DETAIL)) {
    expect(['invalid_argument', 'not_found', 'kv_miss', 'unimplemented', 'permission_denied']).not.toContain(
      asInner(new OnepassError(detail, 'x')).kind,
    );
  }
});

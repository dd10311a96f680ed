import type { OnepassError } from '@onepass/errors';
import { type Logger, Measurements, silentLogger } from '@onepass/telemetry';
import { expect, test, vi } from 'vitest';
import { parsePolicy } from './policy.js';
import { PolicyGuard } from './policy-guard.js';

const METHODS = new Set(['/a.v1.One/Get', '/a.v1.One/Put']);
const policyOf = (...callers: object[]) => parsePolicy(JSON.stringify({ callers }), 'p', METHODS);
const feed = { name: 'feed', identities: ['spiffe://feed'], methods: ['a.v1.One/Get'] };
const other = { name: 'other', identities: ['spiffe://other'], methods: ['a.v1.One/*'] };

function guarded(...callers: object[]) {
  const clock = { now: 0 };
  const warn = vi.fn<Logger['warn']>();
  const measurements = new Measurements();
  const logger = { ...silentLogger, warn };
  const guard = new PolicyGuard({ policy: policyOf(...callers), logger, measurements, now: () => clock.now });
  const admit = (identity: string | undefined, method = '/a.v1.One/Get') =>
    guard.admit(method, { identities: identity === undefined ? [] : [identity] });
  const refusal = (identity: string | undefined, method?: string) => {
    try {
      admit(identity, method).release();
      return undefined;
    } catch (error) {
      return { ...(error as OnepassError).detail, message: (error as OnepassError).message };
    }
  };
  return { clock, warn, measurements, guard, admit, refusal };
}

test('who is not known and what is not allowed is refused, each in one sentence', () => {
  const { refusal, admit } = guarded({ ...feed, privileges: ['as_of'] }, other);
  expect(refusal(undefined)?.kind).toBe('unauthenticated');
  expect(refusal(undefined)?.message).toBe('/a.v1.One/Get needs a client certificate that names the caller');
  expect(refusal('x')).toEqual({
    kind: 'permission_denied',
    message: 'no caller is known as "x": /a.v1.One/Get is not for it',
  });
  expect(refusal('spiffe://feed', '/a.v1.One/Put')).toEqual({
    kind: 'permission_denied',
    message: 'caller "feed" may not call /a.v1.One/Put',
  });
  const { caller } = admit('spiffe://feed');
  expect([caller.name, caller.may('as_of'), caller.may('pin_release')]).toEqual(['feed', true, false]);
});

test('a caller at ten times its limit gets its limit, and another one all it asks for', () => {
  const noisy = { ...feed, limits: { requestsPerSecond: 100, burst: 10 } };
  const { clock, refusal } = guarded(noisy, { ...other, limits: { requestsPerSecond: 100, burst: 10 } });
  let [noisyIn, otherIn] = [0, 0];
  for (; clock.now < 10_000; clock.now += 1) {
    if (refusal('spiffe://feed') === undefined) noisyIn += 1;
    if (clock.now % 10 === 0 && refusal('spiffe://other') === undefined) otherIn += 1;
  }
  expect(noisyIn).toBeGreaterThanOrEqual(1000);
  expect(noisyIn).toBeLessThanOrEqual(1010);
  expect(otherIn).toBe(1000);
});

test('over a limit: overloaded, with the time after which to come again; what runs is counted until released', () => {
  const { clock, admit, refusal } = guarded({ ...feed, limits: { requestsPerSecond: 4, burst: 2, concurrent: 2 } });
  const [first, second] = [admit('spiffe://feed'), admit('spiffe://feed')];
  expect(refusal('spiffe://feed')).toMatchObject({
    kind: 'overloaded',
    message: 'caller "feed" is over its limit of 2 calls at one time',
  });
  first.release();
  second.release();
  expect(refusal('spiffe://feed')).toMatchObject({
    retryAfterMs: 250,
    message: 'caller "feed" is over its limit of 4 calls a second',
  });
  clock.now = 250;
  expect(refusal('spiffe://feed')).toBeUndefined();
});

test('refusals are counted each and logged once a minute', () => {
  const { clock, warn, refusal, measurements } = guarded(feed);
  for (; clock.now < 120_000; clock.now += 100) refusal('spiffe://feed', '/a.v1.One/Put');
  expect(warn).toHaveBeenCalledTimes(2);
  expect(warn.mock.calls[0]).toEqual([{ method: '/a.v1.One/Put' }, 'calls of feed are refused: method']);
  expect(measurements.snapshot()).toEqual({
    'onepass.calls.refused{onepass.caller="feed",onepass.refusal="method"}': 1200,
  });
});

test('a new policy holds from the next call on', () => {
  const { guard, admit, refusal } = guarded(feed, other);
  const grant = admit('spiffe://feed');
  guard.change(policyOf({ ...other, limits: { concurrent: 1 } }));
  expect(refusal('spiffe://feed')?.kind).toBe('permission_denied');
  grant.release();
  const held = admit('spiffe://other');
  expect(refusal('spiffe://other')?.kind).toBe('overloaded');
  held.release();
});

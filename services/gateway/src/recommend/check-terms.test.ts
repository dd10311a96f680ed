import { type Caller, Priority, type Privilege } from '@onepass/contracts';
import { type ErrorDetail, OnepassError } from '@onepass/errors';
import { Violations } from '@onepass/pages';
import { expect, test } from 'vitest';
import { checkAsOf, checkPin, checkPriority } from './check-terms.js';

const caller = (...privileges: Privilege[]): Caller => ({
  name: 'feed',
  may: (p) => privileges.includes(p),
  priority: (asked) => asked,
});

function refusal(check: (violations: Violations) => unknown): ErrorDetail['kind'] | string {
  try {
    const violations = new Violations();
    check(violations);
    violations.throwIfAny();
  } catch (error) {
    if (error instanceof OnepassError) return `${error.kind}: ${error.message}`;
    throw error;
  }
  return 'taken';
}

test('a pin needs the privilege, then the release that is served', () => {
  const pin = (id: string, ...privileges: Privilege[]) =>
    refusal((violations) => checkPin(id, 'r-1', caller(...privileges), violations));
  expect(pin('')).toBe('taken');
  expect(pin('r-1', 'as_of')).toBe('permission_denied: release_id: this caller may not pin a release');
  expect(pin('r-1', 'pin_release')).toBe('taken');
  expect(pin('r-2', 'pin_release')).toBe('release_mismatch: release_id is of release "r-2", this server serves "r-1"');
  expect(pin('r'.repeat(129), 'pin_release')).toMatch('invalid_argument: release_id: is 129 bytes long');
});

test("a request's own time needs the privilege and lies between 1970 and five minutes ahead", () => {
  const asOf = (ms: number | bigint, ...privileges: Privilege[]) =>
    refusal((violations) => checkAsOf(BigInt(ms), caller(...privileges), violations));
  const ahead = (minutes: number) => Date.now() + minutes * 60_000;
  expect(asOf(0)).toBe('taken');
  expect(asOf(1, 'pin_release')).toBe('permission_denied: as_of_ms: this caller may not set the time of a request');
  expect([asOf(1, 'as_of'), asOf(ahead(4), 'as_of')]).toEqual(['taken', 'taken']);
  for (const wrong of [-1, ahead(6), 2n ** 63n - 1n]) {
    expect(asOf(wrong, 'as_of')).toMatch(
      /^invalid_argument: as_of_ms: must be from 1 to \d+, which is 5 minutes ahead, is /,
    );
  }
  const violations = new Violations();
  expect(checkAsOf(0n, caller(), violations)).toBeUndefined();
  expect(checkAsOf(1_700_000_000_000n, caller('as_of'), violations)).toBe(1_700_000_000_000);
});

test("the request's priority counts before the header's", () => {
  const violations = new Violations();
  expect(checkPriority(Priority.BATCH, 'prefetch', violations)).toBe('batch');
  expect(checkPriority(Priority.INTERACTIVE, 'batch', violations)).toBe('interactive');
  expect(checkPriority(Priority.UNSPECIFIED, 'batch', violations)).toBe('batch');
  expect(refusal((v) => checkPriority(9 as Priority, 'interactive', v))).toBe(
    'invalid_argument: priority: 9 is not a priority',
  );
});

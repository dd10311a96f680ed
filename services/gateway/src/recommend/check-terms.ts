import { type Caller, type CallPriority, Priority } from '@onepass/contracts';
import { OnepassError, releaseMismatch } from '@onepass/errors';
import type { Violations } from '@onepass/pages';

const WORDS: Readonly<Partial<Record<Priority, CallPriority>>> = {
  [Priority.INTERACTIVE]: 'interactive',
  [Priority.PREFETCH]: 'prefetch',
  [Priority.BATCH]: 'batch',
};

/** How far ahead of the server's clock a caller's "now" may lie: clocks differ. */
const AHEAD_MS = 5 * 60_000;

/**
 * A pin is checked before all else, for what a request of another release says can only look wrong.
 * @throws OnepassError `permission_denied`; `release_mismatch` naming both releases
 */
export function checkPin(releaseId: string, served: string, caller: Caller, violations: Violations): void {
  if (releaseId === '') return;
  if (!caller.may('pin_release')) throw denied('release_id', 'pin a release');
  violations.optionalId('release_id', releaseId);
  violations.throwIfAny();
  if (releaseId !== served) throw releaseMismatch(served, releaseId, 'release_id');
}

/** The request's own "now", epoch ms; undefined = the server's. @throws OnepassError `permission_denied` */
export function checkAsOf(asOfMs: bigint, caller: Caller, violations: Violations): number | undefined {
  if (asOfMs === 0n) return undefined;
  if (!caller.may('as_of')) throw denied('as_of_ms', 'set the time of a request');
  const latest = Date.now() + AHEAD_MS;
  if (asOfMs < 1n || asOfMs > latest) {
    violations.add('as_of_ms', `must be from 1 to ${latest}, which is 5 minutes ahead, is ${asOfMs}`);
  }
  return Number(asOfMs);
}

/** What the request says counts, else the call's header. */
export function checkPriority(asked: Priority, header: CallPriority, violations: Violations): CallPriority {
  if (Priority[asked] === undefined) violations.add('priority', `${asked} is not a priority`);
  return priorityAsked(asked, header);
}

/** The same, of a request that is not checked yet. */
export function priorityAsked(asked: Priority, header: CallPriority): CallPriority {
  return WORDS[asked] ?? header;
}

function denied(field: string, what: string): OnepassError {
  return new OnepassError({ kind: 'permission_denied' }, `${field}: this caller may not ${what}`);
}

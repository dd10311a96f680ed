import { isUnreachable } from '@onepass/contracts';
import { OnepassError, unavailable } from '@onepass/errors';
import type { CallEnd } from '../cells/cell.js';
import type { Run, StageName } from './run.js';

/**
 * What the first of `backends` that can be reached answers. A single one is tried twice: its connection may have been lost under the call
 * and be up again. Every try but the first is a retry and needs the retry budget's leave. One that answers as another service or another release is
 * gone around too. One that is late, or refuses for its load, is not: there is no time for two, and others are as loaded.
 * @throws OnepassError what a reached one failed with; `unavailable` when none can be reached.
 */
export async function firstReachable<B, T>(
  { run, stage, told = () => {} }: ReachTerms<B>,
  backends: readonly B[],
  ask: (backend: B) => Promise<T>,
): Promise<T> {
  run.retries.called();
  let unreachable: OnepassError | undefined;
  for (const [tried, backend] of (backends.length === 1 ? [...backends, ...backends] : backends).entries()) {
    if (tried > 0 && !run.mayRetry(stage)) break;
    const since = performance.now();
    try {
      const answer = await ask(backend);
      told(backend, 'answered', performance.now() - since);
      return answer;
    } catch (thrown) {
      const error = asLost(OnepassError.from(thrown), run);
      const end = callEnd(error);
      if (end !== undefined) told(backend, end, performance.now() - since);
      if (!isElsewhereToo(error) || (backends.length === 1 && end !== 'unreachable')) throw error;
      unreachable = error;
    }
  }
  throw unreachable ?? unavailable('there is no cell');
}

export interface ReachTerms<B> {
  readonly run: Run;
  readonly stage: StageName;
  /** How a call to a backend ended, as far as that says something of the backend, and how long it took in ms. */
  readonly told?: (backend: B, end: CallEnd, tookMs: number) => void;
}

/** Whether another backend may answer what this one could not. */
export function isElsewhereToo(error: OnepassError): boolean {
  return error.kind === 'unavailable' || callEnd(error) === 'unfit';
}

/** A call that was cancelled, and not by whoever wants the page, went down with its server. */
function asLost(error: OnepassError, run: Run): OnepassError {
  if (error.kind !== 'cancelled' || run.isGivenUp) return error;
  return unavailable('the call was cut off', error.cause ?? error);
}

/** Undefined for a call that its caller gave up: nobody knows whether it would have been answered. */
function callEnd(error: OnepassError): CallEnd | undefined {
  switch (error.kind) {
    case 'cancelled':
      return undefined;
    case 'deadline_exceeded':
      return 'late';
    case 'unimplemented':
    case 'release_mismatch':
      return 'unfit';
    default:
      return isUnreachable(error) ? 'unreachable' : 'answered';
  }
}

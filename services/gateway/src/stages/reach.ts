import { isUnreachable } from '@onepass/contracts';
import { type ErrorKind, OnepassError, unavailable } from '@onepass/errors';
import type { Run, StageName } from './run.js';

/** A call that ends so may have reached a backend that is slow, or gone on the way to a host that is no more. */
const NO_ANSWER: ReadonlySet<ErrorKind> = new Set(['deadline_exceeded', 'cancelled']);

/**
 * What the first of `backends` that can be reached answers. A single one is tried twice: its connection may have been lost under the call
 * and be up again. Every try but the first is a retry and needs the retry budget's leave. One that is late, or refuses for its load, is not
 * passed over: there is no time for two, and others are as loaded.
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
    try {
      const answer = await ask(backend);
      told(backend, true);
      return answer;
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      if (!NO_ANSWER.has(error.kind)) told(backend, !isUnreachable(error));
      if (error.kind !== 'unavailable' || (backends.length === 1 && !isUnreachable(error))) throw error;
      unreachable = error;
    }
  }
  throw unreachable ?? unavailable('there is no cell');
}

export interface ReachTerms<B> {
  readonly run: Run;
  readonly stage: StageName;
  /** Whether a backend that was asked could be reached, where that is known. */
  readonly told?: (backend: B, reached: boolean) => void;
}

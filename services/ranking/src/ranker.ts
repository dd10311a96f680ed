import type { InferenceEngine, RunTerms } from '@onepass/inference';
import type { Span } from '@onepass/telemetry';
import type { RankAsk } from './rank-ask.js';
import type { RankRun } from './rank-graph.js';

/** Of the call that a rank is done for. */
export interface RankTerms extends RunTerms {
  readonly span?: Span;
}

/** The trunk's rank graph over the KV of this cell, wherever they are. */
export interface Ranker {
  /** Where it runs. */
  readonly provider: string;
  /** Graph runs of this role, for its measurements. */
  readonly load: Pick<InferenceEngine, 'queued' | 'running' | 'started'>;
  /**
   * One pass over all candidates, one at least, on the tokens that `ask.kv` names; tells of the run.
   * @throws OnepassError `kv_miss` (before the run or after it: never a score over changed KV), `release_mismatch`, the signal's reason, `overloaded`,
   * or `internal`
   */
  rank(ask: RankAsk, terms: RankTerms): Promise<RankRun>;
}

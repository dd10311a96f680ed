import type { CandidateSet } from './candidate-set.js';
import type { FilteredOut } from './filtered-out.js';
import type { Ranked } from './rank-stage.js';

/** What the stages before left: retrieved, ranked, and filtered with reasons. */
export interface PageInput {
  readonly candidates: CandidateSet;
  /** Undefined = the candidates' own order. */
  readonly ranked: Ranked | undefined;
  /** Not among the candidates; those that retrieval kept out only where an explanation is asked for. */
  readonly filtered: readonly FilteredOut[];
  /** By budget: the one it was searched with; empty when budgets were not searched by. */
  readonly mergedInto: readonly number[];
  /** Retrieval gave as many as it was asked for: there may be more of them. */
  readonly mayHoldMore: boolean;
  /** How much there was to work with. */
  readonly known: { readonly retrieved: number; readonly seenItems: number; readonly kvTokens: number };
}

import type { MessageInitShape } from '@bufbuild/protobuf';
import { Degraded_Reason, KvSource, type RecommendResponseSchema } from '@onepass/contracts';
import type { HistoryHead } from '@onepass/history';
import type { ServedRelease } from '../served-release.js';
import type { CandidateSet } from '../stages/candidate-set.js';
import type { Encoded } from '../stages/encode-stage.js';
import { type FilteredOut, once } from '../stages/filtered-out.js';
import type { PageInput } from '../stages/page-input.js';
import { page } from '../stages/page-stage.js';
import type { Ranked } from '../stages/rank-stage.js';
import type { Retrieved } from '../stages/retrieve-stage.js';
import type { Run } from '../stages/run.js';

/** What the stages left, whole or degraded. */
export interface StageResults {
  readonly release: ServedRelease;
  readonly pageTokenKey: Uint8Array;
  readonly candidates: CandidateSet;
  readonly filtered: readonly FilteredOut[];
  /** Undefined in score only. */
  readonly retrieved: Retrieved | undefined;
  readonly ranked: Ranked | undefined;
  readonly encoded: Encoded | undefined;
  readonly head: HistoryHead;
  readonly seenItems: number;
}

/** The page and everything that is said beside it. */
export function respond(run: Run, results: StageResults): MessageInitShape<typeof RecommendResponseSchema> {
  const { plan } = run;
  const { retrieved, ranked, head } = results;
  const coverage = retrieved?.coverage;
  if (coverage && coverage.shardsAnswered < coverage.shardsTotal) {
    const detail = `${coverage.shardsAnswered} of ${coverage.shardsTotal} shards answered`;
    run.degrade(Degraded_Reason.COVERAGE, detail);
  }
  if (BigInt(head.sequence) < plan.minimumHistorySequence) {
    run.warnings.push(`the page has not seen minimum_history_sequence: it is made from sequence ${head.sequence}`);
  }
  const found = retrieved?.candidates.itemIds.length ?? 0;
  const input: PageInput = {
    candidates: results.candidates,
    ranked,
    filtered: once(retrieved?.keptOut ?? [], results.filtered),
    mergedInto: retrieved?.mergedInto ?? [],
    mayHoldMore: found >= plan.candidates,
    known: {
      retrieved: found,
      seenItems: results.seenItems,
      kvTokens: results.encoded?.response.kv?.length ?? 0,
    },
  };
  const shown = run.timed('page', () => page(run, input, results.pageTokenKey));
  const kvSource = ranked?.kvSource ?? KvSource.UNSPECIFIED;
  run.told(kvSource, shown.items?.length ?? 0);
  return {
    ...shown,
    requestId: plan.requestId,
    releaseId: results.release.id,
    historySequence: BigInt(head.sequence),
    historyHash: head.hash,
    ...(coverage && { coverage }),
    degraded: run.degraded,
    kvSource,
    stages: run.timings,
    warnings: run.warnings,
  };
}

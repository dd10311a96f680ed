import type { MessageInitShape } from '@bufbuild/protobuf';
import { Degraded_Reason, type RecommendResponseSchema } from '@onepass/contracts';
import { decodeEmbeddings } from '@onepass/embeddings';
import type { Slate } from '@onepass/history';
import type { StageResults } from '../recommend/respond.js';
import type { Run } from '../stages/run.js';

type Page = MessageInitShape<typeof RecommendResponseSchema>;

/** The page as it is kept: with all numbers, whatever the caller's view shows of them. */
export function servedSlate(run: Run, { slateId, items }: Page, results: StageResults): Slate {
  const { plan } = run;
  const { candidates, ranked, release, head } = results;
  const width = ranked?.actions.length ?? 0;
  const { rows, values } = decodeEmbeddings(plan.queryEmbedding, 'query', release.model.itemDimension);
  return {
    slateId: slateId as string,
    person: plan.personKey,
    surface: plan.surface,
    timeMs: run.nowMs,
    historySequence: head.sequence,
    historyHash: head.hash,
    releaseId: release.id,
    foreign: false,
    relatedItemIds: plan.relatedItemIds,
    queryText: plan.queryText,
    queryEmbedding: rows === 0 ? undefined : values,
    features: plan.features,
    actions: ranked?.actions ?? [],
    degraded: run.degraded.map(({ reason }) => Degraded_Reason[reason]),
    items: (items ?? []).map(({ itemId = '', position = 0, utility = 0 }) => {
      const candidate = candidates.itemIds.indexOf(itemId);
      const probabilities = ranked?.probabilities.subarray(candidate * width, (candidate + 1) * width) ?? [];
      return { itemId, position, utility, probabilities: Array.from(probabilities) };
    }),
  };
}

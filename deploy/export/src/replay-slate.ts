import {
  type DescribeResponse,
  Mode,
  type OnepassClient,
  OnepassError,
  type RecommendResponse,
  View,
} from '@onepass/client';
import { EmbeddingType } from '@onepass/contracts';
import { encodeEmbedding } from '@onepass/embeddings';
import type { personOf } from './replay-history.js';
import type { SlateDifferences } from './replay-scale.js';
import type { SlateRow } from './schema.js';

/** Float32 sums of float32 products: two ways of adding them up differ by less. */
const SAME_UTILITY = 1e-5;

/** What the items of a slate score now, against what they did. Undefined: the release does not know one of them. */
export async function askAgain(
  onepass: OnepassClient,
  person: ReturnType<typeof personOf> | undefined,
  slate: SlateRow,
  model: DescribeResponse,
): Promise<SlateDifferences | undefined> {
  const request = {
    ...(person && { person }),
    surface: slate.surface,
    ...contextOf(slate),
    features: { ...slate.features },
    mode: Mode.SCORE_ONLY,
    view: View.SCORES,
    externalCandidates: slate.items.map(({ item_id }) => ({ itemId: item_id })),
    asOfMs: slate.time_ms,
    minimumHistorySequence: person ? slate.history_sequence : 0n,
  };
  const response = await onepass.recommend(request).catch(unlessUnknownItems);
  if (response === undefined) return undefined;
  const again = new Map(response.items.map((item) => [item.itemId, item]));
  if (slate.items.some(({ item_id }) => !again.has(item_id))) return undefined;
  const sameHistory = response.historyHash.toString(16).padStart(16, '0') === slate.history_hash;
  const pairs = slate.items.map((was) => ({ was, is: again.get(was.item_id) as RecommendResponse['items'][number] }));
  return {
    sameHistory,
    probabilities: pairs.flatMap(({ was, is }) =>
      slate.actions.map((action, i) =>
        Math.abs((was.probabilities[i] as number) - (is.probabilities[response.actions.indexOf(action)] ?? Number.NaN)),
      ),
    ),
    utilities: hasOwnWeights(slate, model) ? [] : pairs.map(({ was, is }) => Math.abs(was.utility - is.utility)),
  };
}

/** A request that is refused for its items alone is about items that the release does not know. */
function unlessUnknownItems(thrown: unknown): undefined {
  const { detail } = OnepassError.from(thrown);
  const items = /^(external_candidates|related\.item_ids)/;
  if (detail.kind === 'invalid_argument' && detail.violations.every(({ field }) => items.test(field))) return;
  throw thrown;
}

function contextOf({ related_item_ids: itemIds, query_text: text, query_embedding: embedding }: SlateRow) {
  if (itemIds.length > 0) return { context: { case: 'related' as const, value: { itemIds: [...itemIds] } } };
  if (text === undefined && embedding === undefined) return {};
  const query =
    embedding === undefined
      ? { case: 'text' as const, value: text as string }
      : { case: 'embedding' as const, value: encodeEmbedding(Float32Array.from(embedding), EmbeddingType.F32) };
  return { context: { case: 'search' as const, value: { query } } };
}

/** Whether the recorded utilities are others than the release's weights make. */
function hasOwnWeights({ actions, items }: SlateRow, model: DescribeResponse): boolean {
  const weights = new Map(model.actions.map((action) => [action.name, action.utilityWeight]));
  return items.some(({ utility, probabilities }) => {
    const expected = actions.reduce((sum, name, i) => sum + (weights.get(name) ?? 0) * (probabilities[i] ?? 0), 0);
    return Math.abs(expected - utility) > SAME_UTILITY * Math.max(1, Math.abs(utility));
  });
}

import type { MessageInitShape } from '@bufbuild/protobuf';
import { asInner, type gatewayCatalog, type ServerCall } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import { Violations } from '@onepass/pages';
import type { ServedRelease } from './served-release.js';
import type { RetrievalClient } from './stages/retrieve-stage.js';
import { timeBudget } from './stages/time-budget.js';

const ITEMS = 1_000;

/** Items of the release in force, found ones in the order asked for. */
export async function getItems(
  { itemIds }: gatewayCatalog.GetItemsRequest,
  call: ServerCall,
  backend: { readonly release: ServedRelease; readonly retrieval: RetrievalClient; readonly budgetMs: number },
): Promise<MessageInitShape<typeof gatewayCatalog.GetItemsResponseSchema>> {
  const violations = new Violations();
  violations.count('item_ids', itemIds.length, { minimum: 1, maximum: ITEMS });
  if (itemIds.length <= ITEMS) for (const [i, id] of itemIds.entries()) violations.id(`item_ids[${i}]`, id);
  violations.throwIfAny();
  const { endMs } = timeBudget(Date.now(), backend.budgetMs, call.deadlineMs);
  const response = await backend.retrieval
    .getItems({ releaseId: backend.release.id, itemIds }, { signal: call.signal, deadlineMs: endMs, span: call.span })
    .catch((error: unknown) => {
      throw asInner(OnepassError.from(error));
    });
  const found = new Map(response.items.map((item) => [item.id, item]));
  return {
    items: itemIds.flatMap((id) => found.get(id) ?? []),
    missingItemIds: itemIds.filter((id) => !found.has(id)),
  };
}

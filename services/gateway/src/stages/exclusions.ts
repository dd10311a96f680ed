import { Mode } from '@onepass/contracts';
import type { FilterReason } from '@onepass/pages';
import type { Plan } from '../recommend/plan.js';

/** What may not be on the page, and why: acted on, excluded by the caller, what the page is about, on an earlier page of the chain. */
export class Exclusions {
  readonly #reasons: readonly (readonly [FilterReason, readonly string[]])[];
  #byItem: ReadonlyMap<string, FilterReason> | undefined;

  /** In score only the caller's exclusions alone hold; what was seen, or is related to, is scored like the rest. */
  constructor(plan: Plan, seenItemIds: readonly string[]) {
    const scoreOnly = plan.mode === Mode.SCORE_ONLY;
    this.#reasons = [
      ['seen', scoreOnly ? [] : seenItemIds],
      ['excluded', plan.excludedItemIds],
      ['excluded', scoreOnly ? [] : plan.relatedItemIds],
      ['returned_before', plan.progress.returned],
    ];
  }

  /** For retrieval, which leaves them out itself. One id may stand here twice. */
  get itemIds(): string[] {
    return this.#reasons.flatMap(([, itemIds]) => itemIds);
  }

  /** For items that retrieval did not bring. */
  readonly reasonAgainst = (itemId: string): FilterReason | undefined => {
    this.#byItem ??= new Map(this.#reasons.flatMap(([reason, itemIds]) => itemIds.map((id) => [id, reason])));
    return this.#byItem.get(itemId);
  };
}

import { Mode } from '@onepass/contracts';
import type { FilterReason } from '@onepass/pages';
import type { Plan } from '../recommend/plan.js';

/** What may not be on the page, and why: acted on, excluded by the caller, on an earlier page of the chain. */
export class Exclusions {
  readonly #reasons: readonly (readonly [FilterReason, readonly string[]])[];
  #byItem: ReadonlyMap<string, FilterReason> | undefined;

  /** In score only the caller's exclusions hold; what was seen is scored like the rest. */
  constructor(plan: Plan, seenItemIds: readonly string[]) {
    this.#reasons = [
      ['seen', plan.mode === Mode.SCORE_ONLY ? [] : seenItemIds],
      ['excluded', plan.excludedItemIds],
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

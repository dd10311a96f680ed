import { Mode } from '@onepass/contracts';
import type { FilterReason } from '@onepass/pages';
import type { Plan } from '../recommend/plan.js';

/** What may not be on the page, and why: acted on, excluded by the caller, what the page is about, on an earlier page of the chain. */
export class Exclusions {
  readonly #seen: ReadonlySet<string>;
  readonly #excluded: ReadonlySet<string>;
  readonly #returned: ReadonlySet<string>;

  /** In score only the caller's exclusions alone hold; what was seen, or is related to, is scored like the rest. */
  constructor(plan: Plan, seenItemIds: readonly string[]) {
    const scoreOnly = plan.mode === Mode.SCORE_ONLY;
    this.#seen = new Set(scoreOnly ? [] : seenItemIds);
    this.#excluded = new Set([...plan.excludedItemIds, ...(scoreOnly ? [] : plan.relatedItemIds)]);
    this.#returned = new Set(plan.progress.returned);
  }

  get seenItems(): number {
    return this.#seen.size;
  }

  all(): ReadonlySet<string> {
    return new Set([...this.#seen, ...this.#excluded, ...this.#returned]);
  }

  readonly reasonAgainst = (itemId: string): FilterReason | undefined => {
    if (this.#returned.has(itemId)) return 'returned_before';
    if (this.#excluded.has(itemId)) return 'excluded';
    return this.#seen.has(itemId) ? 'seen' : undefined;
  };
}

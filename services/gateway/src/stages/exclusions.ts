import { Mode } from '@onepass/contracts';
import type { FilterReason } from '@onepass/pages';
import type { Plan } from '../recommend/plan.js';

/** What may not be on the page, and why: acted on, excluded by the caller, on an earlier page of the chain. */
export class Exclusions {
  readonly #seen: ReadonlySet<string>;
  readonly #excluded: ReadonlySet<string>;
  readonly #returned: ReadonlySet<string>;

  /** In score only the caller's exclusions hold; what was seen is scored like the rest. */
  constructor(plan: Plan, seenItemIds: readonly string[]) {
    this.#seen = new Set(plan.mode === Mode.SCORE_ONLY ? [] : seenItemIds);
    this.#excluded = new Set(plan.excludedItemIds);
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

import { Mode, unpackUint32 } from '@onepass/contracts';
import type { FilterReason } from '@onepass/pages';
import type { Plan } from '../recommend/plan.js';

/** Items acted on, as whoever knew said it: the encoder by rows of the release, the history by ids. */
export interface SeenItems {
  /** Packed as on the wire. */
  readonly rows: Uint8Array;
  readonly itemIds: readonly string[];
}

/** What may not be on the page, and why: acted on, excluded by the caller, what the page is about, on an earlier page of the chain. */
export class Exclusions {
  /** For retrieval, which leaves them out itself. */
  readonly rows: Uint8Array;
  readonly #rowOf: (itemId: string) => number | undefined;
  readonly #reasons: readonly (readonly [FilterReason, readonly string[]])[];
  #byItem: ReadonlyMap<string, FilterReason> | undefined;
  #seenRows: ReadonlySet<number> | undefined;

  /** In score only the caller's exclusions alone hold; what was seen, or is related to, is scored like the rest. */
  constructor(plan: Plan, seen: SeenItems, rowOf: (itemId: string) => number | undefined) {
    const scoreOnly = plan.mode === Mode.SCORE_ONLY;
    this.rows = scoreOnly ? new Uint8Array(0) : seen.rows;
    this.#rowOf = rowOf;
    this.#reasons = [
      ['seen', scoreOnly ? [] : seen.itemIds],
      ['excluded', plan.excludedItemIds],
      ['excluded', scoreOnly ? [] : plan.relatedItemIds],
      ['returned_before', plan.progress.returned],
    ];
  }

  /** For retrieval as well. One id may stand here twice. */
  get itemIds(): string[] {
    return this.#reasons.flatMap(([, itemIds]) => itemIds);
  }

  /** For items that retrieval did not bring. */
  readonly reasonAgainst = (itemId: string): FilterReason | undefined => {
    this.#byItem ??= new Map(this.#reasons.flatMap(([reason, itemIds]) => itemIds.map((id) => [id, reason])));
    return this.#byItem.get(itemId) ?? (this.#isSeen(itemId) ? 'seen' : undefined);
  };

  #isSeen(itemId: string): boolean {
    const row = this.#rowOf(itemId);
    if (row === undefined) return false;
    this.#seenRows ??= new Set(unpackUint32(this.rows, 'seen_rows'));
    return this.#seenRows.has(row);
  }
}

import { type DiversityWindow, diversify, type ValuesOf } from './diversity.js';
import { orderByUtility } from './utility.js';

/** Why a candidate is not on the page. The first five are decided before the candidates are scored. */
export type FilterReason =
  | 'seen'
  | 'excluded'
  | 'returned_before'
  | 'attribute'
  | 'unknown_item'
  | 'diversity'
  | 'not_a_number'
  | 'below_page';

/** Candidates as columns of equal length. */
export interface PageCandidates {
  readonly itemIds: readonly string[];
  /** What the page is ordered by, or, in retrieval order, only says. */
  readonly utilities: ArrayLike<number>;
  readonly valuesOf: ValuesOf;
}

export interface PageRules {
  readonly size: number;
  /** 'given' keeps the candidates' own order, as retrieval merged them by budget. */
  readonly order: 'utility' | 'given';
  readonly diversity: readonly DiversityWindow[];
}

export interface PageSelection {
  /** Candidates of the page, first position first. */
  readonly selected: readonly number[];
  /** All that could be shown, the page's among them. */
  readonly order: readonly number[];
}

export function selectPage(candidates: PageCandidates, rules: PageRules): PageSelection {
  const { itemIds, utilities, valuesOf } = candidates;
  const order =
    rules.order === 'utility'
      ? orderByUtility(itemIds, utilities)
      : [...itemIds.keys()].filter((i) => Number.isFinite(utilities[i]));
  if (rules.diversity.length === 0) return { selected: order.slice(0, rules.size), order };
  return { selected: diversify(order, rules.size, rules.diversity, valuesOf), order };
}

/**
 * Every candidate that is not on the page, with its one reason: what could be shown first, in order.
 * @param count of all candidates
 */
export function reasonsAgainst(
  { selected, order }: PageSelection,
  count: number,
  { size }: PageRules,
): { candidate: number; reason: FilterReason }[] {
  const onPage = new Set(selected);
  const ranks = new Map(order.map((candidate, rank) => [candidate, rank]));
  // Passed over for something that stands lower in the order, or left out of a page that has room: diversity's doing.
  const lowest = selected.length < size ? order.length : Math.max(...selected.map((c) => ranks.get(c) as number));
  const reasons: { candidate: number; reason: FilterReason }[] = [];
  for (const [rank, candidate] of order.entries()) {
    if (!onPage.has(candidate)) reasons.push({ candidate, reason: rank < lowest ? 'diversity' : 'below_page' });
  }
  for (let candidate = 0; candidate < count; candidate++) {
    if (!ranks.has(candidate)) reasons.push({ candidate, reason: 'not_a_number' });
  }
  return reasons;
}

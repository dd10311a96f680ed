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

/** Every candidate is either selected or has the one reason why it is not. */
export interface PageSelection {
  /** Candidates of the page, first position first. */
  readonly selected: readonly number[];
  readonly notShown: readonly { readonly candidate: number; readonly reason: FilterReason }[];
}

export function selectPage(candidates: PageCandidates, rules: PageRules): PageSelection {
  const order = rules.order === 'utility' ? byUtility(candidates) : asGiven(candidates);
  const selected =
    rules.diversity.length === 0
      ? order.slice(0, rules.size)
      : diversify(order, rules.size, rules.diversity, candidates.valuesOf);
  return { selected, notShown: explain(candidates, order, selected, rules.size) };
}

function byUtility({ itemIds, utilities }: PageCandidates): number[] {
  return orderByUtility(itemIds, utilities);
}

function asGiven({ itemIds, utilities }: PageCandidates): number[] {
  return [...itemIds.keys()].filter((i) => Number.isFinite(utilities[i]));
}

function explain(
  candidates: PageCandidates,
  order: readonly number[],
  selected: readonly number[],
  size: number,
): PageSelection['notShown'] {
  const onPage = new Set(selected);
  // Passed over for something that stands lower in the order, or left out of a page that has room: diversity's doing.
  const ranks = new Map(order.map((candidate, rank) => [candidate, rank]));
  const lowest =
    selected.length < size ? order.length : Math.max(...selected.map((candidate) => ranks.get(candidate) as number));
  const notShown: { candidate: number; reason: FilterReason }[] = [];
  for (const [rank, candidate] of order.entries()) {
    if (!onPage.has(candidate)) notShown.push({ candidate, reason: rank < lowest ? 'diversity' : 'below_page' });
  }
  for (let candidate = 0; candidate < candidates.itemIds.length; candidate++) {
    if (!ranks.has(candidate)) notShown.push({ candidate, reason: 'not_a_number' });
  }
  return notShown;
}

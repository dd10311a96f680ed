import {
  type Diversity,
  type DiversityWindow,
  diversify,
  type FullWindow,
  fullWindows,
  type RecentValues,
  type ValuesOf,
} from './diversity.js';
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
  /** Of the pages before. */
  readonly recent: RecentValues;
}

export interface PageSelection {
  /** Candidates of the page, first position first. */
  readonly selected: readonly number[];
  /** All that could be shown, the page's among them. */
  readonly order: readonly number[];
}

export function selectPage(candidates: PageCandidates, rules: PageRules): PageSelection {
  const { itemIds, utilities } = candidates;
  const order =
    rules.order === 'utility'
      ? orderByUtility(itemIds, utilities)
      : [...itemIds.keys()].filter((i) => Number.isFinite(utilities[i]));
  if (rules.diversity.length === 0) return { selected: order.slice(0, rules.size), order };
  return { selected: diversify(order, rules.size, diversityOf(candidates, rules)), order };
}

export function diversityOf({ valuesOf }: PageCandidates, { diversity, recent }: PageRules): Diversity {
  return { windows: diversity, recent, valuesOf };
}

export interface NotShown {
  readonly candidate: number;
  readonly reason: FilterReason;
  /** Of `diversity`: the window that was full where it could have stood last. */
  readonly full?: FullWindow;
}

/** Every candidate that is not on the page, with its one reason: what could be shown first, in order. */
export function reasonsAgainst(
  { selected, order }: PageSelection,
  candidates: PageCandidates,
  rules: PageRules,
): NotShown[] {
  const onPage = new Set(selected);
  const shown = new Set(order);
  const passedOver = fullWindows(order, selected, rules.size, diversityOf(candidates, rules));
  const reasons: NotShown[] = [];
  for (const candidate of order) {
    if (onPage.has(candidate)) continue;
    const full = passedOver.get(candidate);
    reasons.push(full ? { candidate, reason: 'diversity', full } : { candidate, reason: 'below_page' });
  }
  for (const candidate of candidates.itemIds.keys()) {
    if (!shown.has(candidate)) reasons.push({ candidate, reason: 'not_a_number' });
  }
  return reasons;
}

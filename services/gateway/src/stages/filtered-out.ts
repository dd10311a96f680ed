import type { AttributeFilter } from '@onepass/contracts';
import type { FilterReason } from '@onepass/pages';
import type { SourceFields } from './candidate-set.js';

/** An item that did not become a candidate. */
export interface FilteredOut {
  readonly itemId: string;
  readonly reason: FilterReason;
  readonly detail?: string;
  /** Who would have brought it. */
  readonly sources: readonly SourceFields[];
}

/** Which filter does not hold, in the words of the request: `filters[1]: category none_of`. */
export function filterDetail(filters: readonly AttributeFilter[], index: number): string {
  const { attribute = '', condition } = filters[index] ?? {};
  const asked = { anyOf: 'any_of', noneOf: 'none_of', range: 'range' } as const;
  return `filters[${index}]: ${attribute} ${condition?.case ? asked[condition.case] : ''}`;
}

/** Each item once, with all its sources; the first reason counts. */
export function once(...lists: readonly (readonly FilteredOut[])[]): FilteredOut[] {
  const items = new Map<string, FilteredOut>();
  for (const item of lists.flat()) {
    const before = items.get(item.itemId);
    items.set(item.itemId, before ? { ...before, sources: [...before.sources, ...item.sources] } : item);
  }
  return [...items.values()];
}

/** What a Recommend may ask for, beside the limits that the release sets. */
export const LIMITS = {
  defaultPageSize: 20,
  pageSize: 100,
  defaultCandidates: 200,
  relatedItems: 8,
  excludedItems: 10_000,
  /** As many as retrieval looks up in one call. */
  externals: 1_000,
  filters: 32,
  filterValues: 1_000,
} as const;

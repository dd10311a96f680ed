/** The page that is measured. */
export const PAGE = { surface: 'home', pageSize: 20, candidates: 200 } as const;

/** What gives way last comes first. */
export const PRIORITIES = ['interactive', 'prefetch', 'batch'] as const;

export type Priority = (typeof PRIORITIES)[number];

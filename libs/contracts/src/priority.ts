/** What gives way first when there is more work than time; crosses the wire as a header. */
export const PRIORITIES = ['interactive', 'prefetch', 'batch'] as const;

export type CallPriority = (typeof PRIORITIES)[number];

export const PRIORITY_HEADER = 'onepass-priority';

/** Unknown words are interactive: a caller of another version must not be starved. */
export function priorityOf(header: string | undefined): CallPriority {
  return PRIORITIES.find((word) => word === header) ?? 'interactive';
}

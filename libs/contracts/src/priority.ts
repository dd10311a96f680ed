import { PRIORITIES, type Priority } from '@onepass/admission';

/** What gives way first when there is more work than time; crosses the wire as a header. */
export type CallPriority = Priority;

export const PRIORITY_HEADER = 'onepass-priority';

/** Unknown words are interactive: a caller of another version must not be starved. */
export function priorityOf(header: string | undefined): CallPriority {
  return PRIORITIES.find((word) => word === header) ?? 'interactive';
}

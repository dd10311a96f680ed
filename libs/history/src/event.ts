/** What a person did, as told. Actions, items and surfaces by name: events outlive releases. */
export interface NewEvent {
  /** Names the event: a repeat is recognised, a retract takes back the event of this id. */
  readonly eventId: string;
  readonly operation: 'add' | 'retract';
  /** What was acted on: an item, or a query that was searched for. A retract needs neither. */
  readonly itemId?: string | undefined;
  readonly queryText?: string | undefined;
  readonly actions: readonly string[];
  readonly surface: string;
  /** When it happened, epoch milliseconds; 0 = now. Late is normal. */
  readonly timeMs: number;
  /** The slate it happened on and where on it, when known. */
  readonly slateId?: string | undefined;
  readonly position?: number | undefined;
}

/** An event as it lies in a person's history. */
export interface HistoryEvent extends NewEvent {
  /** Counts from 1 without gaps; given with the write. */
  readonly sequence: number;
  /** Never less than the event's before it: a late event counts as having happened when its predecessor did. */
  readonly effectiveMs: number;
  /** 64-bit chain over this event and all before it. */
  readonly hash: bigint;
  /** Taken back by a later event. */
  readonly retracted: boolean;
  /** Of a retract: the sequence it takes back. */
  readonly retracts?: number | undefined;
}

/** The end of a history: sequence and hash of the newest event, 0 and 0n where there is none. */
export interface HistoryHead {
  readonly sequence: number;
  readonly hash: bigint;
}

export type AppendResult =
  | { readonly status: 'accepted'; readonly sequence: number }
  /** The event id lies within the last `DUPLICATE_SPAN` events: nothing was written; `sequence` is the first one's. */
  | { readonly status: 'duplicate'; readonly sequence: number }
  | { readonly status: 'refused'; readonly reason: string };

/** Event ids are known, for repeats and for retracts, within a person's newest 4096 events. */
export const DUPLICATE_SPAN = 4096;

/** How far ahead of the server's clock an event may lie. */
export const MAX_AHEAD_MS = 5 * 60_000;

/**
 * The time an event is kept under, or why it is refused: the one place of this rule.
 * @param timeMs as told, epoch milliseconds; 0 = now
 */
export function eventTime(timeMs: number, nowMs: number): { readonly timeMs: number } | { readonly refused: string } {
  if (timeMs === 0) return { timeMs: nowMs };
  if (!Number.isSafeInteger(timeMs) || timeMs < 0) {
    return { refused: 'time_ms must be a whole number of milliseconds since 1970' };
  }
  if (timeMs - nowMs > MAX_AHEAD_MS) {
    return { refused: `time_ms lies ${timeMs - nowMs} ms ahead of the server, at most ${MAX_AHEAD_MS} are taken` };
  }
  return { timeMs };
}

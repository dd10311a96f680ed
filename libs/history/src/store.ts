import type { AppendResult, HistoryEvent, HistoryHead, NewEvent } from './event.js';

/** The acted-on items are those of the newest 20,000 events, the 5,000 acted on last. */
export const ACTED_ITEMS = { items: 5_000, events: 20_000 } as const;

export interface HistoryOptions {
  /** The server's clock, epoch milliseconds. */
  readonly now: () => number;
}

export interface Appended {
  /** One per event, in order. */
  readonly results: readonly AppendResult[];
  readonly head: HistoryHead;
}

export interface HistoryTail {
  readonly head: HistoryHead;
  /** Hash of the history at the sequence asked after; undefined when it holds no such event. */
  readonly afterHash: bigint | undefined;
  /** Every event after it in order, retracts and retracted ones too, at most as many as asked for. */
  readonly events: readonly HistoryEvent[];
}

export interface LatestEvents {
  readonly head: HistoryHead;
  /** The newest effective events, oldest first. */
  readonly events: readonly HistoryEvent[];
}

export interface ActedItems {
  readonly head: HistoryHead;
  /** Distinct, the one acted on last at the end; see `ACTED_ITEMS`. */
  readonly itemIds: readonly string[];
}

/**
 * Histories by person key (16 bytes as 32 hex digits, never a raw id). The effective history is every added event that was not
 * retracted. Each read is of one moment and sees whatever was acknowledged, by any process, before it was called.
 * Every method rejects with OnepassError `unavailable` when the store cannot be read or written.
 */
export interface HistoryStore {
  /**
   * Writes events in order, all in one transaction; resolves only when they are durable. One event's refusal stops no other.
   * Refused: a time too far ahead (`eventTime`), a retract of an id that is unknown; one already retracted is a duplicate.
   */
  append(person: string, events: readonly NewEvent[]): Promise<Appended>;
  head(person: string): Promise<HistoryHead>;
  /** At most `limit` events after sequence `after`. */
  tail(person: string, after: number, limit: number): Promise<HistoryTail>;
  /** The newest `count` effective events, of those before sequence `before` when given. */
  latest(person: string, count: number, before?: number): Promise<LatestEvents>;
  actedItemIds(person: string): Promise<ActedItems>;
  /** Drops all there is of a person, in one transaction; resolves only when that is durable. The next append starts at sequence 1. */
  forget(person: string): Promise<void>;
  /** The keys of all persons with a history, each once; of persons written of or forgotten meanwhile, some. */
  persons(): AsyncIterable<string>;
  close(): Promise<void>;
}

export interface ActivePerson {
  readonly person: string;
  /** Effective time of the newest event, epoch ms: when they were active last. */
  readonly lastMs: number;
  /** All that there are of them, retracts and retracted ones too. */
  readonly events: number;
}

/** A history store as it is opened: who serves one person at a time needs no more than a HistoryStore. */
export interface OpenHistoryStore extends HistoryStore {
  /**
   * The persons whose newest event is not before `sinceMs` (epoch ms), in the order of the store and in bounded memory, by one small record
   * each: no event is read. One may be told twice; of persons written of or forgotten meanwhile, some are told.
   */
  activePersons(sinceMs: number): AsyncIterable<ActivePerson>;
}

import { encodeEvent, markRetracted, type StoredHead } from './codec.js';
import { type AppendResult, DUPLICATE_SPAN, eventTime, type NewEvent } from './event.js';

/** What is known of an event id within the last `DUPLICATE_SPAN` events. */
export interface KnownEvent {
  readonly sequence: number;
  readonly retracted: boolean;
}

/** One event to be written. */
export interface Admitted {
  readonly event: NewEvent;
  readonly sequence: number;
  /** Of a retract: the sequence it takes back. */
  readonly retracts?: number | undefined;
}

/**
 * Decides over events in order, before anything is written.
 * @param sequence of the newest event held
 * @param lookup what the store knows of an event id
 */
export function admit(
  events: readonly NewEvent[],
  sequence: number,
  nowMs: number,
  lookup: (eventId: string) => KnownEvent | undefined,
): { results: AppendResult[]; admitted: Admitted[] } {
  const results: AppendResult[] = [];
  const admitted: Admitted[] = [];
  // What this write itself makes known.
  const fresh = new Map<string, KnownEvent>();
  for (const event of events) {
    const known = fresh.get(event.eventId) ?? lookup(event.eventId);
    const next = sequence + admitted.length + 1;
    const verdict = judge(event, known, nowMs);
    if ('timeMs' in verdict) {
      const retract = event.operation === 'retract';
      admitted.push({
        event: { ...event, timeMs: verdict.timeMs },
        sequence: next,
        retracts: retract ? known?.sequence : undefined,
      });
      fresh.set(event.eventId, { sequence: retract ? known!.sequence : next, retracted: retract });
      results.push({ status: 'accepted', sequence: next });
    } else results.push(verdict);
  }
  return { results, admitted };
}

/** What an append changes in a history. */
export interface Changes {
  readonly head: StoredHead;
  /** Values by sequence: new events, and older ones that are now retracted. */
  readonly events: ReadonlyMap<number, Buffer>;
  /** Sequences by the event id that now leads to them. */
  readonly ids: ReadonlyMap<string, number>;
}

/**
 * Chains admitted events to what is held.
 * @param heldAt what the store holds at a sequence that is retracted
 */
export function changesOf(
  admitted: readonly Admitted[],
  held: StoredHead,
  heldAt: (sequence: number) => Buffer,
): Changes {
  const events = new Map<number, Buffer>();
  const ids = new Map<string, number>();
  let head = held;
  for (const { event, sequence, retracts } of admitted) {
    const effectiveMs = Math.max(event.timeMs, head.effectiveMs);
    const { bytes, hash } = encodeEvent({ ...event, effectiveMs, retracts }, head.hash);
    events.set(sequence, bytes);
    if (retracts === undefined) ids.set(event.eventId, sequence);
    else events.set(retracts, markRetracted(events.get(retracts) ?? heldAt(retracts)));
    head = { sequence, hash, effectiveMs };
  }
  return { head, events, ids };
}

/** The sequences that leave the span of recognised repeats when a history grows: their ids are to be dropped. */
export function leavingSpan(fromSequence: number, toSequence: number): number[] {
  const first = Math.max(1, fromSequence - DUPLICATE_SPAN + 1);
  return Array.from({ length: Math.max(0, toSequence - DUPLICATE_SPAN - first + 1) }, (_, i) => first + i);
}

function judge(event: NewEvent, known: KnownEvent | undefined, nowMs: number): AppendResult | { timeMs: number } {
  if (event.operation === 'add' && known !== undefined) return { status: 'duplicate', sequence: known.sequence };
  if (event.operation === 'retract') {
    if (known === undefined) return refused('event_id is not among the events that can be retracted');
    // A retry whose first answer was lost.
    if (known.retracted) return { status: 'duplicate', sequence: known.sequence };
  }
  const time = eventTime(event.timeMs, nowMs);
  return 'refused' in time ? refused(time.refused) : time;
}

function refused(reason: string): AppendResult {
  return { status: 'refused', reason };
}

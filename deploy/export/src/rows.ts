import type { HistoryEvent, LoggedSlate } from '@onepass/history';
import type { EventRow, SlateRow } from './schema.js';

export function eventRow(person: string, event: HistoryEvent): EventRow {
  const { position, retracts } = event;
  return {
    person,
    sequence: BigInt(event.sequence),
    hash: hashText(event.hash),
    event_id: event.eventId,
    operation: event.operation,
    item_id: event.itemId,
    query_text: event.queryText,
    actions: event.actions,
    surface: event.surface,
    time_ms: BigInt(event.timeMs),
    effective_ms: BigInt(event.effectiveMs),
    slate_id: event.slateId,
    position: position === undefined ? undefined : BigInt(position),
    retracts: retracts === undefined ? undefined : BigInt(retracts),
  };
}

export function slateRow(slate: LoggedSlate): SlateRow {
  const outcomes = new Map(slate.outcomes.map((outcome) => [`${outcome.position}/${outcome.itemId}`, outcome]));
  return {
    slate_id: slate.slateId,
    person: slate.person,
    surface: slate.surface,
    time_ms: BigInt(slate.timeMs),
    history_sequence: BigInt(slate.historySequence),
    history_hash: hashText(slate.historyHash),
    release_id: slate.releaseId,
    foreign: slate.foreign,
    degraded: slate.degraded,
    related_item_ids: slate.relatedItemIds,
    query_text: slate.queryText,
    query_embedding: slate.queryEmbedding && Array.from(slate.queryEmbedding),
    features: Object.keys(slate.features).length === 0 ? undefined : slate.features,
    actions: slate.actions,
    items: slate.items.map(({ itemId, position, utility, probabilities }) => {
      const outcome = outcomes.get(`${position}/${itemId}`);
      return {
        item_id: itemId,
        position: BigInt(position),
        utility,
        probabilities,
        visible: outcome?.visible,
        actions: outcome?.actions,
      };
    }),
  };
}

/** 64 bits as 16 hex digits: Parquet readers differ in what they make of numbers beyond 2^63. */
function hashText(hash: bigint): string {
  return hash.toString(16).padStart(16, '0');
}

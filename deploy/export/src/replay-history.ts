import { EventResult_Status, type OnepassClient, Operation, user } from '@onepass/client';
import { startupError } from '@onepass/errors';
import { EVENTS_FILE, type EventRow } from './schema.js';

/** As many as LogActions takes. */
const EVENTS_A_CALL = 1_000;

/** Whom the replay knows by the key that stands for them in the export. */
export const personOf = (key: string) => user(key);

/** Logs the next events of a person, who has all before them. @throws OnepassError `startup` naming an event that was not taken */
export async function feed(onepass: OnepassClient, person: string, events: readonly EventRow[]): Promise<void> {
  for (let at = 0; at < events.length; at += EVENTS_A_CALL) {
    const some = events.slice(at, at + EVENTS_A_CALL);
    const { results } = await onepass.logActions({ person: personOf(person), events: some.map(actionEvent) });
    for (const [i, { status, reason }] of results.entries()) {
      if (status === EventResult_Status.ACCEPTED || status === EventResult_Status.PENDING_ITEM) continue;
      const { sequence, event_id } = some[i] as EventRow;
      const what = EventResult_Status[status].toLowerCase();
      throw startupError(
        `${EVENTS_FILE}: event ${event_id}, sequence ${sequence} of ${person}, was ${what}: ${reason}`,
      );
    }
  }
}

function actionEvent(event: EventRow) {
  return {
    eventId: event.event_id,
    operation: event.operation === 'add' ? Operation.ADD : Operation.RETRACT,
    itemId: event.item_id ?? '',
    queryText: event.query_text ?? '',
    actions: [...event.actions],
    surface: event.surface,
    timeMs: event.time_ms,
    slateId: event.slate_id ?? '',
    ...(event.position !== undefined && { position: Number(event.position) }),
  };
}

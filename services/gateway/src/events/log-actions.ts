import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ActionEvent,
  EventResult_Status,
  type EventResultSchema,
  type LogActionsRequest,
  type LogActionsResponseSchema,
  Operation,
} from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import type { AppendResult, HistoryStore, NewEvent } from '@onepass/history';
import { quoted } from '@onepass/pages';
import type { AttributesOf, Measurements, Span } from '@onepass/telemetry';
import type { ServedRelease } from '../served-release.js';
import { checkEvents } from './check-events.js';

type Result = MessageInitShape<typeof EventResultSchema>;

/**
 * Writes a person's events and says per event what became of it; resolves once they are durable. Names that the release does
 * not know are kept, for another release may: an unknown item answers PENDING_ITEM, unknown actions are named in `reason`
 * of an accepted event.
 */
export async function logActions(
  request: LogActionsRequest,
  history: HistoryStore,
  release: ServedRelease,
  call: Telling,
): Promise<MessageInitShape<typeof LogActionsResponseSchema>> {
  const person = checkEvents(request);
  const refusals = request.events.map((event) => refusalOf(event, release));
  const admitted = request.events.filter((_, i) => refusals[i] === undefined);
  const { results: written, head } =
    admitted.length === 0
      ? { results: [], head: await history.head(person) }
      : await timed(admitted.length, call, () => history.append(person, admitted.map(newEvent)));
  const next = written.values();
  const results = request.events.map((event, i): Result => {
    const reason = refusals[i];
    if (reason !== undefined) return { eventId: event.eventId, status: EventResult_Status.REFUSED, reason };
    return { eventId: event.eventId, ...resultOf(event, next.next().value as AppendResult, release) };
  });
  for (const { status } of results) {
    const name = STATUS_NAMES[status as EventResult_Status];
    if (name) call.measurements.count('onepass.history.events', { 'onepass.event.status': name });
  }
  return { results, historySequence: BigInt(head.sequence) };
}

/** Where it is told how the call went. */
interface Telling {
  readonly measurements: Measurements;
  readonly span: Span;
}

const STATUS_NAMES: Readonly<
  Record<EventResult_Status, AttributesOf<'onepass.history.events'>['onepass.event.status'] | undefined>
> = {
  [EventResult_Status.UNSPECIFIED]: undefined,
  [EventResult_Status.ACCEPTED]: 'accepted',
  [EventResult_Status.DUPLICATE]: 'duplicate',
  [EventResult_Status.PENDING_ITEM]: 'pending_item',
  [EventResult_Status.REFUSED]: 'refused',
};

async function timed<T>(events: number, { measurements, span }: Telling, append: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const appending = span.child('append_history', { attributes: { 'onepass.events': events } });
  try {
    const appended = await append();
    appending.end();
    return appended;
  } catch (error) {
    appending.end(OnepassError.from(error).kind);
    throw error;
  } finally {
    measurements.record('onepass.history.append.duration', (performance.now() - started) / 1000);
  }
}

/** What is wrong with one event beside the others' being right. The store itself judges times and retracts. */
function refusalOf({ operation, surface }: ActionEvent, { vocabulary }: ServedRelease): string | undefined {
  if (operation === Operation.RETRACT || vocabulary.surfaces.index(surface) !== undefined) return undefined;
  return `surface: ${quoted(surface)} is not one of ${vocabulary.surfaces.names.join(', ')}`;
}

function newEvent(event: ActionEvent): NewEvent {
  return {
    eventId: event.eventId,
    operation: event.operation === Operation.RETRACT ? 'retract' : 'add',
    itemId: event.itemId || undefined,
    queryText: event.queryText || undefined,
    actions: event.actions,
    surface: event.surface,
    timeMs: Number(event.timeMs),
    slateId: event.slateId || undefined,
    position: event.position,
  };
}

function resultOf(event: ActionEvent, result: AppendResult, release: ServedRelease): Result {
  if (result.status === 'refused') return { status: EventResult_Status.REFUSED, reason: result.reason };
  const sequence = BigInt(result.sequence);
  if (result.status === 'duplicate') return { status: EventResult_Status.DUPLICATE, sequence };
  if (event.operation === Operation.RETRACT) return { status: EventResult_Status.ACCEPTED, sequence };
  const pending = event.itemId !== '' && !release.rows.has(event.itemId);
  const status = pending ? EventResult_Status.PENDING_ITEM : EventResult_Status.ACCEPTED;
  // A query's token has no actions.
  return { status, sequence, reason: event.queryText === '' ? unknownActions(event.actions, release) : '' };
}

function unknownActions(actions: readonly string[], { vocabulary }: ServedRelease): string {
  const unknown = actions.filter((action) => vocabulary.actions.index(action) === undefined);
  if (unknown.length === 0) return '';
  return `kept; the release does not know the action ${unknown.map(quoted).join(', ')}`;
}

import { type ActionEvent, type LogActionsRequest, Operation } from '@onepass/contracts';
import { Violations } from '@onepass/pages';
import { QUERY_TEXT_BYTES } from '@onepass/release';
import { type PersonKey, personKey } from '@onepass/routing';

const EVENTS = 1_000;
const ACTIONS = 16;

/**
 * The person, once the request as a whole is right: what can only be a mistake in the caller's program.
 * @throws OnepassError `invalid_argument` naming every wrong field; then nothing of the request may be written.
 */
export function checkEvents(request: LogActionsRequest): PersonKey {
  const violations = new Violations();
  const person = violations.attempt(() => personKey(request.person));
  if (request.person?.id.case === undefined) violations.add('person', 'must name a user or a visitor');
  violations.count('events', request.events.length, { minimum: 1, maximum: EVENTS });
  if (request.events.length <= EVENTS) {
    for (const [i, event] of request.events.entries()) checkEvent(`events[${i}]`, event, violations);
  }
  violations.throwIfAny();
  return person as PersonKey;
}

function checkEvent(field: string, event: ActionEvent, violations: Violations): void {
  violations.id(`${field}.event_id`, event.eventId);
  violations.optionalId(`${field}.slate_id`, event.slateId);
  violations.optionalId(`${field}.surface`, event.surface);
  if (Operation[event.operation] === undefined) {
    violations.add(`${field}.operation`, `${event.operation} is not an operation`);
  }
  if (event.operation === Operation.RETRACT) return;
  checkSubject(field, event, violations);
  violations.count(`${field}.actions`, event.actions.length, { minimum: 1, maximum: ACTIONS });
  if (event.actions.length > ACTIONS) return;
  for (const [i, action] of event.actions.entries()) violations.id(`${field}.actions[${i}]`, action);
}

/** An event is about an item, or about a query that was searched for. */
function checkSubject(field: string, { itemId, queryText }: ActionEvent, violations: Violations): void {
  if (queryText === '') violations.id(`${field}.item_id`, itemId);
  else if (itemId !== '') violations.add(`${field}.query_text`, 'stands instead of an item_id, not beside one');
  else if (Buffer.byteLength(queryText) > QUERY_TEXT_BYTES) {
    violations.add(`${field}.query_text`, `is over the limit of ${QUERY_TEXT_BYTES} bytes`);
  }
}

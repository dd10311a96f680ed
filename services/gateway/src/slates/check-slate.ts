import type { LogSlateRequest } from '@onepass/contracts';
import { eventTime } from '@onepass/history';
import { checkFeatures, Violations } from '@onepass/pages';
import { type PersonKey, personKey } from '@onepass/routing';
import type { ServedRelease } from '../served-release.js';

const ITEMS = 1_000;
const ACTIONS = 16;
const FEATURES = 256;

export interface CheckedSlate {
  /** Undefined for nobody in particular. */
  readonly person: PersonKey | undefined;
  /** Epoch ms; now where the request says nothing. */
  readonly timeMs: number;
}

/** @throws OnepassError `invalid_argument` naming every wrong field. */
export function checkSlate(request: LogSlateRequest, { vocabulary }: ServedRelease, nowMs: number): CheckedSlate {
  const violations = new Violations();
  const person = violations.attempt(() => personKey(request.person));
  violations.id('slate_id', request.slateId);
  // What was served has its surface already.
  if (request.foreign || request.surface !== '') {
    violations.word('surface', request.surface, vocabulary.surfaces.names);
  }
  const time = eventTime(Number(request.timeMs), nowMs);
  if ('refused' in time) violations.add('time_ms', time.refused.replace('time_ms ', ''));
  violations.count('items', request.items.length, { minimum: 1, maximum: ITEMS });
  if (request.items.length <= ITEMS) checkItems(request, violations);
  checkSlateFeatures(request, violations);
  violations.throwIfAny();
  return { person, timeMs: 'timeMs' in time ? time.timeMs : nowMs };
}

/** As with actions: a later release may know names that this one does not. */
function checkSlateFeatures({ features, foreign }: LogSlateRequest, violations: Violations): void {
  const count = Object.keys(features).length;
  if (count > 0 && !foreign)
    violations.add('features', 'are known of what was served: only a foreign slate brings them');
  violations.count('features', count, { minimum: 0, maximum: FEATURES });
  if (count <= FEATURES) checkFeatures('features', features, undefined, violations);
}

function checkItems({ items, foreign }: LogSlateRequest, violations: Violations): void {
  const ids = new Map<string, number>();
  const positions = new Map<number, number>();
  for (const [i, { itemId, position, actions }] of items.entries()) {
    const field = `items[${i}]`;
    violations.id(`${field}.item_id`, itemId);
    const first = ids.get(itemId);
    if (first !== undefined) violations.add(`${field}.item_id`, `is that of items[${first}] again`);
    else ids.set(itemId, i);
    // Of what was served the positions are known.
    const taken = foreign ? positions.get(position) : undefined;
    if (taken !== undefined) violations.add(`${field}.position`, `${position} is that of items[${taken}] too`);
    else positions.set(position, i);
    violations.count(`${field}.actions`, actions.length, { minimum: 0, maximum: ACTIONS });
    if (actions.length > ACTIONS) continue;
    for (const [j, action] of actions.entries()) violations.id(`${field}.actions[${j}]`, action);
  }
}

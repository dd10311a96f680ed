import type { MessageInitShape } from '@bufbuild/protobuf';
import type { LogSlateRequest, LogSlateResponseSchema } from '@onepass/contracts';
import { invalidArgument, invalidArguments, OnepassError } from '@onepass/errors';
import type { HistoryHead, HistoryStore, LoggedSlate, Slate, SlateOutcome, SlateStore } from '@onepass/history';
import type { ServedRelease } from '../served-release.js';
import { type CheckedSlate, checkSlate } from './check-slate.js';
import type { SlateWriter } from './slate-writer.js';

export interface SlateLog {
  readonly history: HistoryStore;
  readonly slates: SlateStore;
  readonly slateWriter: SlateWriter;
  readonly release: ServedRelease;
}

const NO_HISTORY: HistoryHead = { sequence: 0, hash: 0n };

/**
 * Keeps what became of a slate; durable when answered.
 * @throws OnepassError `invalid_argument` naming every wrong field, `not_found` naming slate_id, `unavailable` when a store fails.
 */
export async function logSlate(
  request: LogSlateRequest,
  log: SlateLog,
): Promise<MessageInitShape<typeof LogSlateResponseSchema>> {
  const checked = checkSlate(request, log.release, Date.now());
  const { person } = checked;
  const slate = await slateOf(request, checked, log);
  if (slate.foreign !== request.foreign) {
    const why = slate.foreign ? 'must be set: the slate was logged so before' : 'is set, but the slate was served here';
    throw invalidArgument('foreign', why);
  }
  if (request.surface !== '' && request.surface !== slate.surface) {
    throw invalidArgument('surface', `is "${request.surface}", the slate was on "${slate.surface}"`);
  }
  const { outcomes, unknownItemIds } = outcomesOf(request, slate);
  const kept = outcomes.length === 0 || (await log.slates.addOutcomes(person, slate.slateId, outcomes));
  if (!kept) throw noSuchSlate();
  return { historySequence: BigInt(slate.historySequence), unknownItemIds };
}

async function slateOf(request: LogSlateRequest, checked: CheckedSlate, log: SlateLog): Promise<LoggedSlate> {
  const { person } = checked;
  const held = await log.slateWriter.find(person, request.slateId);
  if (held !== undefined) return held;
  if (!request.foreign) throw noSuchSlate();
  const head = person === undefined ? NO_HISTORY : await log.history.head(person);
  await log.slates.record([foreignSlate(request, checked, head)]);
  // Two that come at once are one: the first is kept.
  const recorded = await log.slates.get(person, request.slateId);
  if (recorded === undefined) throw noSuchSlate();
  return recorded;
}

function foreignSlate(request: LogSlateRequest, { person, timeMs }: CheckedSlate, head: HistoryHead): Slate {
  return {
    slateId: request.slateId,
    person,
    surface: request.surface,
    timeMs,
    historySequence: head.sequence,
    historyHash: head.hash,
    releaseId: '',
    foreign: true,
    relatedItemIds: [],
    queryText: undefined,
    queryEmbedding: undefined,
    features: request.features,
    actions: [],
    degraded: [],
    items: request.items.map(({ itemId, position }) => ({ itemId, position, utility: 0, probabilities: [] })),
  };
}

/** Outcomes at the positions that the slate has; a position that says otherwise is a mistake of the caller's. */
function outcomesOf({ items }: LogSlateRequest, slate: Slate) {
  const positions = new Map(slate.items.map(({ itemId, position }) => [itemId, position]));
  const outcomes: SlateOutcome[] = [];
  const unknownItemIds: string[] = [];
  const wrong: { field: string; description: string }[] = [];
  for (const [i, { itemId, position: told, visible, actions }] of items.entries()) {
    const position = positions.get(itemId);
    if (position === undefined) unknownItemIds.push(itemId);
    else if (told !== 0 && told !== position) {
      wrong.push({ field: `items[${i}].position`, description: `is ${told}, the slate has the item at ${position}` });
    } else outcomes.push({ itemId, position, visible, actions });
  }
  if (wrong.length > 0) throw invalidArguments(wrong.slice(0, 16));
  return { outcomes, unknownItemIds };
}

function noSuchSlate(): OnepassError {
  return new OnepassError(
    { kind: 'not_found' },
    'slate_id: no such slate was served to this person, or it is kept no longer',
  );
}

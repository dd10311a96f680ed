import type { ForgetPersonRequest, ServerCall } from '@onepass/contracts';
import { invalidArgument, OnepassError, unavailable } from '@onepass/errors';
import type { HistoryStore, SlateStore } from '@onepass/history';
import { personKey } from '@onepass/routing';
import type { Logger, Span } from '@onepass/telemetry';
import type { Cells } from '../cells/cells.js';
import type { RememberedSlates } from '../remembered-slates.js';
import type { SlateWriter } from '../slates/slate-writer.js';

export interface ForgetParts {
  readonly history: HistoryStore;
  readonly slates: SlateStore;
  readonly slateWriter: SlateWriter;
  readonly remembered: RememberedSlates;
  readonly cells: Cells;
  readonly logger: Logger;
}

/** Long enough to drop a long history, or to wait for an encode of the person that is under way. */
const PATIENCE_MS = 30_000;

/**
 * Drops all there is of a person. The store first: a cell that forgot before it would read the history again.
 * @throws OnepassError `invalid_argument` for nobody; `unavailable` naming what is not done yet.
 */
export async function forgetPerson(
  request: ForgetPersonRequest,
  call: ServerCall,
  parts: ForgetParts,
): Promise<object> {
  const { history, slates, slateWriter, remembered, cells, logger } = parts;
  const told = { logger, span: call.span };
  const person = personKey(request.person);
  if (person === undefined) throw invalidArgument('person', 'must name a user or a visitor');
  await slateWriter.forget(person, async () => {
    await step(told, 'the history, the slates and the KV', () => history.forget(person));
    await step(told, 'the slates and the KV', () => slates.forget(person));
    const deadlineMs = Math.min(call.deadlineMs, Date.now() + PATIENCE_MS);
    const options = { signal: call.signal, deadlineMs, span: call.span };
    // Where the person was sent before a cell joined, drained or left, KV may lie still.
    const all = cells.holders();
    const forgotten = all.map(({ encoders }) =>
      Promise.all(encoders.map((encoder) => encoder.forget({ person: request.person }, options))),
    );
    const failed = (await Promise.allSettled(forgotten)).filter((one) => one.status === 'rejected');
    await step(told, `the KV of ${failed.length} of ${all.length} cells`, async () => {
      if (failed[0] !== undefined) throw failed[0].reason;
    });
    // Last: a page made meanwhile was remembered too.
    remembered.forget(`${person}/`);
  });
  return {};
}

async function step(
  { logger, span }: { readonly logger: Logger; readonly span: Span },
  notDone: string,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    const error = OnepassError.from(thrown);
    logger.warn(
      { kind: error.kind, err: error.cause ?? error, ...span.logFields },
      `a person is not forgotten yet: ${notDone}`,
    );
    throw unavailable(`not forgotten yet: ${notDone}; ask again`, error);
  }
}

import { type EncodeResponse, Mode } from '@onepass/contracts';
import { decodeEmbeddings } from '@onepass/embeddings';
import { releaseMismatch } from '@onepass/errors';
import type { Budget } from '@onepass/pages';
import { type Cell, cellReached } from '../cells.js';
import { defect } from './candidate-set.js';
import { firstReachable } from './reach.js';
import type { Run } from './run.js';

export interface Encoded {
  /** Where the KV lies: ranking must be asked there. */
  readonly cell: Cell;
  readonly response: EncodeResponse;
}

/** Brings the person's KV up to date and answers one query embedding per budget. */
export function encode(run: Run, cells: readonly Cell[], deadlineMs: number): Promise<Encoded> {
  const request = requestOf(run);
  return firstReachable({ run, stage: 'encode', told: cellReached }, cells, async (cell) => {
    const response = await cell.encoder.encode(request, run.call(deadlineMs, 'encode'));
    const actual = response.kv?.releaseId ?? '';
    if (actual !== run.releaseId) throw releaseMismatch(run.releaseId, actual, 'the KV');
    const { rows } = decodeEmbeddings(response.queries, 'queries', response.queries?.dimension ?? 0);
    if (rows !== request.queries.length)
      throw defect(`the encoder answered ${rows} of ${request.queries.length} queries`);
    const { historySequence = 0n } = response.kv ?? {};
    if (historySequence < request.minimumHistorySequence && response.degraded.length === 0) {
      throw defect(`the encoder saw sequence ${historySequence} of at least ${request.minimumHistorySequence}`);
    }
    if (response.seenRows.length % 4 !== 0) throw defect('the encoder answered seen rows that are not whole');
    return { cell, response };
  });
}

function requestOf({ plan, nowMs, releaseId }: Run) {
  return {
    releaseId,
    ...(plan.person && { person: plan.person }),
    context: requestContext(plan, nowMs),
    relatedItemIds: [...plan.relatedItemIds],
    ...(plan.queryText !== undefined && { queryText: plan.queryText }),
    // Score only retrieves nothing.
    queries: plan.mode === Mode.SCORE_ONLY ? [] : plan.budgets.map(queryOf),
    minimumHistorySequence: plan.minimumHistorySequence,
  };
}

function queryOf({ outcome, offsetMs }: Budget) {
  return { outcome, offsetMs: BigInt(offsetMs) };
}

/** The request's own row as far as the gateway knows it; the encoder adds embeddings of related items or a text, and the time of the last action. */
export function requestContext(plan: Run['plan'], nowMs: number) {
  return {
    surface: plan.surface,
    nowMs: BigInt(nowMs),
    ...(plan.queryEmbedding && { embeddings: plan.queryEmbedding }),
    features: plan.features,
  };
}

import { type EncodeResponse, Mode, type ServiceClient, type UserEncoderService } from '@onepass/contracts';
import { decodeEmbeddings } from '@onepass/embeddings';
import { releaseMismatch } from '@onepass/errors';
import type { Budget } from '@onepass/pages';
import type { Cell } from '../cells/cell.js';
import { defect } from './candidate-set.js';
import { firstReachable, type ReachTerms } from './reach.js';
import type { Run } from './run.js';

export interface Encoded {
  /** Where the KV lies: ranking must be asked there. */
  readonly cell: Cell;
  readonly response: EncodeResponse;
}

/** Brings the person's KV up to date and answers one query embedding per budget. */
export function encode(run: Run, cells: readonly Cell[], deadlineMs: number): Promise<Encoded> {
  // Score only retrieves nothing.
  const queries = run.plan.mode === Mode.SCORE_ONLY ? [] : run.plan.budgets;
  const ask = asker(run, queries, deadlineMs);
  const told: Told = (cell, end, tookMs) => cell.told('encoder', end, tookMs);
  return firstReachable({ run, stage: 'encode', told }, cells, async (cell) => {
    const response = await ask(cell.encoder);
    cell.toldPool(response.kv?.poolId ?? '');
    return { cell, response };
  });
}

type Told = NonNullable<ReachTerms<Cell>['told']>;

/**
 * Brings the KV up to date that ranking reads, and answers no embeddings: at the cells' ranking encoders, for cells that have them;
 * else as `encode` does, whose KV it then is.
 */
export function encodeForRanking(run: Run, cells: readonly Cell[], deadlineMs: number): Promise<Encoded> {
  if (cells[0]?.rankingEncoder === undefined) return encode(run, cells, deadlineMs);
  const ask = asker(run, [], deadlineMs);
  return firstReachable({ run, stage: 'encode' }, cells, async (cell) => ({
    cell,
    response: await ask(cell.rankingEncoder!),
  }));
}

/** The call, and what must be true of its answer. */
function asker(run: Run, budgets: readonly Budget[], deadlineMs: number) {
  const request = requestOf(run, budgets);
  // Made here, once: two encodes may be under way, and each call belongs to the span of its own.
  const options = run.call(deadlineMs, 'encode');
  return async (encoder: ServiceClient<typeof UserEncoderService>): Promise<EncodeResponse> => {
    const response = await encoder.encode(request, options);
    const actual = response.kv?.releaseId ?? '';
    if (actual !== run.releaseId) throw releaseMismatch(run.releaseId, actual, 'the KV');
    const { rows } = decodeEmbeddings(response.queries, 'queries', response.queries?.dimension ?? 0);
    if (rows !== budgets.length) throw defect(`the encoder answered ${rows} of ${budgets.length} queries`);
    const { historySequence = 0n } = response.kv ?? {};
    if (historySequence < request.minimumHistorySequence && response.degraded.length === 0) {
      throw defect(`the encoder saw sequence ${historySequence} of at least ${request.minimumHistorySequence}`);
    }
    if (response.seenRows.length % 4 !== 0) throw defect('the encoder answered seen rows that are not whole');
    return response;
  };
}

function requestOf({ plan, nowMs, releaseId }: Run, budgets: readonly Budget[]) {
  return {
    releaseId,
    ...(plan.person && { person: plan.person }),
    context: requestContext(plan, nowMs),
    relatedItemIds: [...plan.relatedItemIds],
    ...(plan.queryText !== undefined && { queryText: plan.queryText }),
    queries: budgets.map(queryOf),
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

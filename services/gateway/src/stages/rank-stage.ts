import { KvSource, unpackFloat32 } from '@onepass/contracts';
import { releaseMismatch } from '@onepass/errors';
import type { CallEnd, Cell } from '../cells/cell.js';
import { type CandidateSet, defect } from './candidate-set.js';
import { type Encoded, requestContext } from './encode-stage.js';
import { firstReachable } from './reach.js';
import type { Run } from './run.js';

export interface Ranked {
  readonly actions: readonly string[];
  /** [candidates, actions] */
  readonly probabilities: Float32Array;
  /** [candidates]; NaN = not to be shown */
  readonly utilities: Float32Array;
  readonly kvSource: KvSource;
}

/**
 * One pass over all candidates: on the encoder's KV at the cell that holds it, or, where there is none, on an empty past at
 * any of `cells`. Rejects with `kv_miss` when the KV is gone, and as `isElsewhereToo` says when the cell is.
 */
export async function rank(
  run: Run,
  cells: readonly Cell[],
  encoded: Encoded | undefined,
  candidates: CandidateSet,
): Promise<Ranked> {
  const { plan } = run;
  const request = { ...past(run, encoded), candidates: candidates.embeddings, utilityWeights: plan.utilityWeights };
  const options = run.call(run.budget.latest('rank'), 'rank');
  const told = (cell: Cell, end: CallEnd, tookMs: number) => cell.told('ranking', end, tookMs);
  const ask = async ({ ranking }: Cell) => {
    const answer = await ranking.rank(request, options);
    if (answer.releaseId !== run.releaseId) throw releaseMismatch(run.releaseId, answer.releaseId, 'the ranking');
    return answer;
  };
  const response = await firstReachable({ run, stage: 'rank', told }, encoded ? [encoded.cell] : cells, ask);
  const { actions, kvSource } = response;
  const count = candidates.itemIds.length;
  const utilities = unpackFloat32(response.utilities, 'utilities');
  const probabilities = unpackFloat32(response.probabilities, 'probabilities');
  if (utilities.length !== count || probabilities.length !== count * actions.length) {
    throw defect(
      `ranking answered ${utilities.length} utilities and ${probabilities.length} probabilities of ${count}`,
    );
  }
  if (!utilities.some(Number.isFinite)) throw defect('ranking answered no utility that is a number');
  return { actions, probabilities, utilities, kvSource };
}

function past({ plan, nowMs, releaseId }: Run, encoded: Encoded | undefined) {
  if (encoded === undefined) {
    return { kv: { releaseId }, context: requestContext(plan, nowMs), kvSource: KvSource.EMPTY };
  }
  const { kv, context, kvSource } = encoded.response;
  return { ...(kv && { kv }), ...(context && { context }), kvSource };
}

import type { RankRequest, RequestContext } from '@onepass/contracts';
import { decodeEmbeddings } from '@onepass/embeddings';
import { releaseMismatch } from '@onepass/errors';
import type { KvReference } from '@onepass/kv';
import { checkFeatures, resolveUtilityWeights, Violations } from '@onepass/pages';
import { type ContextRequest, candidateRow, contextRows } from '@onepass/tokens';
import type { ServedModel } from './served-model.js';

/** A request to rank, checked and in the graph's own terms. */
export interface RankAsk {
  /** Its `length` may be 0: an empty past. */
  readonly kv: KvReference;
  /** [c, F]. */
  readonly context: Float32Array;
  readonly contextRows: number;
  /** [k, E]. */
  readonly candidates: Float32Array;
  readonly candidateCount: number;
  /** [F - E]. */
  readonly candidateRow: Float32Array;
  /** By action index. */
  readonly weights: Float64Array;
}

/**
 * @throws OnepassError `release_mismatch` for KV of another release, before anything of it is interpreted; `invalid_argument` naming
 * every wrong field.
 */
export function decodeRank(request: RankRequest, served: ServedModel): RankAsk {
  const { kv, context } = request;
  const violations = new Violations();
  if (kv === undefined) violations.add('kv', 'is required; length 0 stands for an empty past');
  else if (kv.releaseId !== served.releaseId) throw releaseMismatch(served.releaseId, kv.releaseId, 'the KV');
  if (context === undefined) violations.add('context', 'is required');
  const row = context && decodeContext(context, kv?.length ?? 0, served, violations);
  const dimension = served.layout.itemDimension;
  const candidates = violations.attempt(() => decodeEmbeddings(request.candidates, 'candidates', dimension));
  const { maxCandidates } = served.model;
  if (candidates && candidates.rows > maxCandidates) {
    violations.add('candidates', `holds ${candidates.rows} rows, the release ranks at most ${maxCandidates}`);
  }
  const weights = resolveUtilityWeights(served.actions, request.utilityWeights, violations);
  violations.throwIfAny();
  return {
    kv: kv!,
    context: contextRows(served.layout, row!),
    contextRows: row!.rows,
    candidates: candidates!.values,
    candidateCount: candidates!.rows,
    candidateRow: candidateRow(served.layout, row!),
    weights: Float64Array.from(served.actions, (action) => weights[action.name]!),
  };
}

interface ContextRow extends ContextRequest {
  readonly rows: number;
}

function decodeContext(
  context: RequestContext,
  pastLength: number,
  { vocabulary, layout, model }: ServedModel,
  violations: Violations,
): ContextRow {
  const surface = violations.attempt(() => vocabulary.surfaces.require(context.surface, 'context.surface'));
  const nowMs = Number(context.nowMs);
  if (!(nowMs > 0)) violations.add('context.now_ms', 'must be the time of the request in epoch milliseconds');
  if (pastLength > 0 && context.previousMs === undefined) {
    violations.add('context.previous_ms', 'is required with a past: the time of its last action');
  }
  checkFeatures('context.features', context.features, vocabulary.requestFeatures.names, violations);
  const given = violations.attempt(() =>
    decodeEmbeddings(context.embeddings, 'context.embeddings', layout.itemDimension),
  );
  if (given && given.rows > model.contextRows) {
    violations.add('context.embeddings', `holds ${given.rows} rows, the release takes at most ${model.contextRows}`);
  }
  return {
    surface: surface ?? -1,
    nowMs,
    previousMs: context.previousMs === undefined ? undefined : Number(context.previousMs),
    embeddings: given && given.rows > 0 ? given.values : undefined,
    features: context.features,
    rows: Math.max(1, given?.rows ?? 0),
  };
}

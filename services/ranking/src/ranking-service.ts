import {
  DEFAULT_MESSAGE_BYTES,
  type Implementation,
  implement,
  type KvSource,
  packColumn,
  RankingService,
  type RankRequest,
} from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import type { Measurements } from '@onepass/telemetry';
import { decodeRank, type RankAsk } from './rank-ask.js';
import type { RankRun } from './rank-graph.js';
import type { Ranker, RankTerms } from './ranker.js';
import type { ServedModel } from './served-model.js';

export interface RankingParts {
  readonly served: ServedModel;
  readonly ranker: Ranker;
  readonly measurements: Measurements;
}

interface RankAnswer {
  readonly probabilities: Uint8Array;
  readonly utilities: Uint8Array;
  readonly actions: string[];
  readonly kvSource: KvSource;
  readonly releaseId: string;
  readonly stages: { stage: string; micros: number }[];
}

export function rankingImplementation(parts: RankingParts): Implementation {
  const { ranker, measurements } = parts;
  const { load } = ranker;
  measurements.observe('onepass.inference.queued', () => load.queued);
  measurements.observe('onepass.inference.runs', () => load.started);
  measurements.observe('onepass.inference.running', () => load.running);
  return implement(RankingService, {
    rank: (request, call) => rank(parts, request, call),
    describe: () => describe(parts),
  });
}

/**
 * @throws OnepassError `invalid_argument`, `release_mismatch`, `kv_miss` (before the run or after it: never a score over changed KV),
 * `overloaded` or the signal's reason
 */
export async function rank(parts: RankingParts, request: RankRequest, terms: RankTerms = {}): Promise<RankAnswer> {
  const { served, measurements } = parts;
  const ask = decodeRank(request, served);
  const { probabilities, timing } = ask.candidateCount === 0 ? NO_RUN : await runOverKv(parts, ask, terms);
  measurements.count('onepass.rank.candidates', ask.candidateCount);
  return {
    probabilities: packColumn(probabilities),
    utilities: packColumn(utilities(probabilities, ask.weights)),
    actions: served.actions.map((action) => action.name),
    kvSource: request.kvSource,
    releaseId: served.releaseId,
    stages: [
      { stage: 'ranking.queue', micros: timing.queueMicros },
      { stage: 'ranking.run', micros: timing.runMicros },
    ],
  };
}

const NO_RUN: RankRun = { probabilities: new Float32Array(0), timing: { queueMicros: 0, runMicros: 0 } };

async function runOverKv({ ranker, measurements }: RankingParts, ask: RankAsk, terms: RankTerms): Promise<RankRun> {
  try {
    return await ranker.rank(ask, terms);
  } catch (error) {
    if (error instanceof OnepassError && error.kind === 'kv_miss') measurements.count('onepass.kv.misses');
    throw error;
  }
}

/**
 * utility = sum over actions of weight x probability, per candidate, summed in float64. Not a number where that is not finite, so that this
 * candidate, and no other, is left out of the page.
 * @param probabilities [k, A]
 * @returns [k]
 */
function utilities(probabilities: Float32Array, weights: Float64Array): Float32Array {
  const actions = weights.length;
  const out = new Float32Array(probabilities.length / actions);
  for (let candidate = 0, at = 0; candidate < out.length; candidate++) {
    let sum = 0;
    for (let action = 0; action < actions; action++, at++) sum += weights[action]! * probabilities[at]!;
    out[candidate] = Number.isFinite(Math.fround(sum)) ? sum : Number.NaN;
  }
  return out;
}

function describe({ served, ranker, measurements }: RankingParts) {
  const { model, vocabulary } = served;
  return {
    role: 'ranking',
    releaseId: served.releaseId,
    actions: served.actions,
    surfaces: [...vocabulary.surfaces.names],
    requestFeatures: [...vocabulary.requestFeatures.names],
    limits: {
      messageBytes: DEFAULT_MESSAGE_BYTES,
      candidates: model.maxCandidates,
      window: model.window,
      itemDimension: model.itemDimension,
      contextRows: model.contextRows,
    },
    executionProvider: ranker.provider,
    measurements: measurements.snapshot(),
  };
}

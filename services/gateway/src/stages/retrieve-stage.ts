import { type Coverage, columnLength, type retrieval, type ServiceClient, View } from '@onepass/contracts';
import type { EmbeddingBatchFields } from '@onepass/embeddings';
import { releaseMismatch, unavailable } from '@onepass/errors';
import type { Budget } from '@onepass/pages';
import type { ServedRelease } from '../served-release.js';
import { type CandidateSet, defect, fromRetrieval, sourceOf } from './candidate-set.js';
import type { Exclusions } from './exclusions.js';
import { type FilteredOut, filterDetail } from './filtered-out.js';
import { firstReachable } from './reach.js';
import type { Run } from './run.js';

export type RetrievalClient = ServiceClient<typeof retrieval.RetrievalService>;

/** What retrieval searches by: query embeddings with a budget each, or the popular list of the request's surface. */
export interface Queries {
  readonly embeddings: EmbeddingBatchFields;
  readonly budgets: readonly Budget[];
}

export interface Retrieved {
  readonly candidates: CandidateSet;
  readonly coverage: Coverage | undefined;
  /** Best first; empty unless an explanation is asked for. */
  readonly keptOut: readonly FilteredOut[];
  /** By budget of the request: the one it was searched with; empty when they were not searched by. */
  readonly mergedInto: readonly number[];
}

/**
 * Candidates under the request's filters and exclusions.
 * @param queries undefined = the popular list
 */
export async function retrieve(
  run: Run,
  client: RetrievalClient,
  release: ServedRelease,
  query: { readonly queries: Queries | undefined; readonly exclusions: Exclusions },
): Promise<Retrieved> {
  const { plan } = run;
  const { queries, exclusions } = query;
  const excluded = exclusions.itemIds;
  const attributes = [...new Set(plan.diversity.map((window) => window.attribute))];
  const request = {
    releaseId: release.id,
    ...(queries ? searchBy(queries) : { popularSurface: plan.surface }),
    limit: plan.candidates,
    excludedItemIds: excluded,
    excludedRows: exclusions.rows,
    filters: [...plan.filters],
    attributes,
    explain: plan.view === View.EXPLAIN,
  };
  const options = run.call(run.budget.latest('retrieve'), 'retrieve');
  const response = await firstReachable({ run, stage: 'retrieve' }, [client], (root) => root.search(request, options));
  if (response.releaseId !== release.id) throw releaseMismatch(release.id, response.releaseId, 'the candidates');
  if (response.candidates === undefined) throw defect('retrieval answered without candidates');
  const candidates = fromRetrieval(response.candidates, queries?.budgets, attributes, release);
  // Nothing found is an answer only where filters or exclusions can be the reason.
  const explained = plan.filters.length > 0 || excluded.length + columnLength(exclusions.rows) >= release.rows.size;
  if (candidates.itemIds.length === 0 && !explained) throw unavailable('retrieval answered nothing');
  return {
    candidates,
    coverage: response.coverage,
    keptOut: keptOutOf(response.keptOut, queries?.budgets, { plan, exclusions }),
    mergedInto: queries?.budgets === plan.budgets ? response.mergedInto : [],
  };
}

function keptOutOf(
  keptOut: readonly retrieval.KeptOut[],
  budgets: readonly Budget[] | undefined,
  { plan, exclusions }: { readonly plan: Run['plan']; readonly exclusions: Exclusions },
): FilteredOut[] {
  return keptOut.map(({ itemId, score, queryIndex, rank, filterIndex }) => {
    if (!Number.isFinite(score)) throw defect('retrieval answered a score that is not a number');
    const sources = [sourceOf(budgets, { query: queryIndex, rank, score })];
    if (filterIndex === undefined) return { itemId, reason: exclusions.reasonAgainst(itemId) ?? 'excluded', sources };
    return { itemId, reason: 'attribute', detail: filterDetail(plan.filters, filterIndex), sources };
  });
}

function searchBy({ embeddings, budgets }: Queries) {
  return {
    queries: embeddings,
    budgets: budgets.map(({ outcome, share, offsetMs }) => ({ outcome, share, offsetMs: BigInt(offsetMs) })),
  };
}

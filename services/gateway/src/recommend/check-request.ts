import { hash, randomUUID } from 'node:crypto';
import { Mode, type RecommendRequest, type ServerCall, View } from '@onepass/contracts';
import { unimplemented } from '@onepass/errors';
import {
  checkDiversity,
  checkFeatures,
  NOTHING_RECENT,
  openPageToken,
  type PageProgress,
  type PageTokenScope,
  resolveBudgets,
  resolveUtilityWeights,
  Violations,
} from '@onepass/pages';
import { personKey } from '@onepass/routing';
import type { ServedRelease } from '../served-release.js';
import { type CheckedContext, checkContext } from './check-context.js';
import { checkExternals } from './check-externals.js';
import { checkFilters, filtersText } from './check-filters.js';
import { checkAsOf, checkPin, checkPriority } from './check-terms.js';
import { LIMITS } from './limits.js';
import type { Plan } from './plan.js';

/** What a request is checked against. */
export interface CheckTerms {
  readonly release: ServedRelease;
  readonly pageTokenKey: Uint8Array;
  readonly call: Pick<ServerCall, 'caller' | 'priority'>;
}

const FIRST_PAGE: PageProgress = { returned: [], position: 0, recent: NOTHING_RECENT };

/**
 * The request with its defaults, once nothing is wrong with it.
 * @throws OnepassError `invalid_argument` naming every wrong field, `permission_denied` and `release_mismatch` for a pin,
 * `unimplemented` for a text where the release has no query tower.
 */
export function checkRequest(request: RecommendRequest, { release, pageTokenKey, call }: CheckTerms): Plan {
  const violations = new Violations();
  checkPin(request.releaseId, release.id, call.caller, violations);
  const asOfMs = checkAsOf(request.asOfMs, call.caller, violations);
  const priority = call.caller.priority(checkPriority(request.priority, call.priority, violations));
  violations.optionalId('request_id', request.requestId);
  const key = violations.attempt(() => personKey(request.person));
  violations.word('surface', request.surface, release.vocabulary.surfaces.names);
  const context = checkContext(request, release, violations);
  checkFeatures('features', request.features, release.vocabulary.requestFeatures.names, violations);
  const { mode, view } = checkMode(request, violations);
  const { pageSize, candidates } = checkSizes(request, mode, release, violations);
  checkFilters(request.filters, release.attributes, violations);
  checkExcluded(request.excludedItemIds, violations);
  const budgets = budgetsOf(request, release, violations);
  const weightsInForce = resolveUtilityWeights(release.actions, request.utilityWeights, violations);
  const diversity = request.diversity?.windows ?? [];
  checkDiversity(diversity, [...release.attributes.keys()], violations);
  if (request.minimumHistorySequence > 0n && key === undefined) {
    violations.add('minimum_history_sequence', 'needs a person');
  }
  const tokenScope = scopeOf(request, context, mode, { person: key ?? '', release: release.id });
  const progress =
    request.pageToken === '' ? FIRST_PAGE : openPageToken(pageTokenKey, tokenScope, request.pageToken, violations);
  const externals = checkExternals(request.externalCandidates, release.model.itemDimension, violations);
  violations.throwIfAny();
  if (context.queryText !== undefined && !release.hasQueryTower) {
    throw unimplemented(
      `search.text needs a release with a query tower, which ${release.id} has not; give search.embedding`,
    );
  }
  return {
    requestId: request.requestId || randomUUID(),
    person: request.person,
    personKey: key,
    surface: request.surface,
    relatedItemIds: context.relatedItemIds,
    queryText: context.queryText,
    queryEmbedding: context.queryEmbedding,
    features: request.features,
    mode,
    view,
    pageSize,
    candidates,
    progress: progress ?? FIRST_PAGE,
    tokenScope,
    filters: request.filters,
    excludedItemIds: request.excludedItemIds,
    budgets,
    utilityWeights: request.utilityWeights,
    weightsInForce,
    diversity,
    externals,
    minimumHistorySequence: request.minimumHistorySequence,
    priority,
    asOfMs,
  };
}

function checkMode(request: RecommendRequest, violations: Violations): { mode: Mode; view: View } {
  if (Mode[request.mode] === undefined) violations.add('mode', `${request.mode} is not a mode`);
  if (View[request.view] === undefined) violations.add('view', `${request.view} is not a view`);
  const mode = request.mode || Mode.FULL;
  if (mode === Mode.SCORE_ONLY) {
    const why = 'does not apply in score only, where all external candidates are scored and returned';
    if (request.pageToken !== '') violations.add('page_token', why);
    if (request.diversity !== undefined) violations.add('diversity', why);
    if (request.externalCandidates.length === 0) violations.add('external_candidates', 'score only needs at least one');
  }
  return { mode, view: request.view || View.SCORES };
}

function checkSizes(request: RecommendRequest, mode: Mode, release: ServedRelease, violations: Violations) {
  const { pageSize: size, externalCandidates: externals } = request;
  const { maxCandidates } = release.model;
  if (size < 0 || size > LIMITS.pageSize)
    violations.add('page_size', `must be from 0 to ${LIMITS.pageSize}, is ${size}`);
  const pageSize = size || LIMITS.defaultPageSize;
  const maximum = Math.min(LIMITS.externals, maxCandidates);
  violations.count('external_candidates', externals.length, { minimum: 0, maximum });
  if (mode === Mode.SCORE_ONLY) return { pageSize: externals.length, candidates: 0 };
  // Retrieved and external candidates are ranked in one pass.
  const room = maxCandidates - externals.length;
  const candidates = request.candidates || Math.min(room, Math.max(LIMITS.defaultCandidates, pageSize));
  const least = Math.max(1, Math.min(pageSize, room));
  if (candidates < least || candidates > room) {
    const why = `the release ranks ${maxCandidates}, external ones among them`;
    violations.add('candidates', `must be from ${least} to ${room}, is ${candidates}: ${why}`);
  }
  return { pageSize, candidates };
}

function checkExcluded(ids: readonly string[], violations: Violations): void {
  violations.count('excluded_item_ids', ids.length, { minimum: 0, maximum: LIMITS.excludedItems });
  for (const [i, id] of ids.entries()) violations.id(`excluded_item_ids[${i}]`, id);
}

function budgetsOf(request: RecommendRequest, release: ServedRelease, violations: Violations) {
  const requested = request.outcomeBudgets.map((b) => ({
    outcome: b.outcome,
    share: b.share,
    offsetMs: Number(b.offsetMs),
  }));
  const defaults = release.vocabulary.budgets(request.surface);
  return resolveBudgets(requested.length > 0 ? requested : defaults, release.vocabulary.outcomes.names, violations);
}

function scopeOf(
  request: RecommendRequest,
  context: CheckedContext,
  mode: Mode,
  bound: Pick<PageTokenScope, 'person' | 'release'>,
): PageTokenScope {
  const query = context.queryEmbedding && hash('sha256', context.queryEmbedding.values);
  return {
    ...bound,
    context: JSON.stringify([request.surface, mode, context.relatedItemIds, query, context.queryText]),
    filters: filtersText(request.filters),
  };
}

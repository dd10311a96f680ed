import { randomBytes } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ExplanationSchema,
  FilteredItem_Reason,
  Mode,
  type PageItemSchema,
  type RecommendResponseSchema,
  View,
} from '@onepass/contracts';
import {
  type FilterReason,
  type PageSelection,
  reasonsAgainst,
  SLATE_ENTROPY_BYTES,
  sealPageToken,
  selectPage,
  slateId,
  TOKEN_ITEMS,
} from '@onepass/pages';
import type { CandidateSet } from './candidate-set.js';
import type { Ranked } from './rank-stage.js';
import type { Run } from './run.js';

export interface FilteredOut {
  readonly itemId: string;
  readonly reason: FilterReason;
}

/** What the stages before left: retrieved, ranked, and filtered with reasons. */
export interface PageInput {
  readonly candidates: CandidateSet;
  /** Undefined = the candidates' own order. */
  readonly ranked: Ranked | undefined;
  /** Not among the candidates any more. */
  readonly filtered: readonly FilteredOut[];
  /** Retrieval gave as many as it was asked for: there may be more of them. */
  readonly mayHoldMore: boolean;
  /** How much there was to work with. */
  readonly known: { readonly retrieved: number; readonly seenItems: number; readonly kvTokens: number };
}

type PageFields = Pick<
  MessageInitShape<typeof RecommendResponseSchema>,
  'slateId' | 'items' | 'nextPageToken' | 'actions' | 'explanation'
>;

/** The page: best first, diverse, numbered on from the pages before. */
export function page(run: Run, input: PageInput, pageTokenKey: Uint8Array): PageFields {
  const { plan } = run;
  const { candidates, ranked } = input;
  const utilities = ranked?.utilities ?? candidates.scores;
  const { itemIds, valuesOf } = candidates;
  const rules = { size: plan.pageSize, order: ranked ? 'utility' : 'given', diversity: plan.diversity } as const;
  const selection = selectPage({ itemIds, utilities, valuesOf }, rules);
  warn(run, selection);
  return {
    slateId: slateId(run.nowMs, randomBytes(SLATE_ENTROPY_BYTES)),
    items: selection.selected.map((candidate, i) => pageItem(run, input, candidate, i)),
    nextPageToken: nextPageToken(run, input, selection, pageTokenKey),
    actions: plan.view === View.BASIC ? [] : [...(ranked?.actions ?? [])],
    ...(plan.view === View.EXPLAIN && {
      explanation: explain(run, input, reasonsAgainst(selection, itemIds.length, rules)),
    }),
  };
}

function pageItem(run: Run, input: PageInput, candidate: number, i: number): MessageInitShape<typeof PageItemSchema> {
  const { candidates, ranked } = input;
  const itemId = candidates.itemIds[candidate] as string;
  const position = run.plan.progress.position + i;
  const utility = (ranked?.utilities ?? candidates.scores)[candidate] as number;
  if (run.plan.view === View.BASIC) return { itemId, position, utility };
  const width = ranked?.actions.length ?? 0;
  const probabilities = ranked?.probabilities.subarray(candidate * width, (candidate + 1) * width) ?? [];
  return {
    itemId,
    position,
    utility,
    probabilities: Array.from(probabilities),
    sources: candidates.sourcesOf(candidate),
  };
}

function nextPageToken(run: Run, input: PageInput, selection: PageSelection, key: Uint8Array): string {
  const { plan } = run;
  const { selected, order } = selection;
  const more = input.mayHoldMore || order.length > selected.length;
  if (plan.mode === Mode.SCORE_ONLY || selected.length === 0 || !more) return '';
  const returned = [...plan.progress.returned, ...selected.map((i) => input.candidates.itemIds[i] as string)];
  const position = plan.progress.position + selected.length;
  const token = sealPageToken(key, plan.tokenScope, { returned, position });
  if (token === undefined) run.warnings.push(`this is the last page: a chain of pages ends at ${TOKEN_ITEMS} items`);
  return token ?? '';
}

function warn(run: Run, { selected, order }: PageSelection): void {
  if (selected.length === 0) {
    run.warnings.push('the page is empty: filters, exclusions and what was seen or returned before leave nothing');
  } else if (selected.length < run.plan.pageSize && order.length > selected.length) {
    run.warnings.push(`diversity leaves ${run.plan.pageSize - selected.length} places of the page empty`);
  }
}

const REASONS: Readonly<Record<FilterReason, FilteredItem_Reason>> = {
  seen: FilteredItem_Reason.SEEN,
  excluded: FilteredItem_Reason.EXCLUDED,
  returned_before: FilteredItem_Reason.RETURNED_BEFORE,
  attribute: FilteredItem_Reason.ATTRIBUTE,
  unknown_item: FilteredItem_Reason.UNKNOWN_ITEM,
  diversity: FilteredItem_Reason.DIVERSITY,
  not_a_number: FilteredItem_Reason.NOT_A_NUMBER,
  below_page: FilteredItem_Reason.BELOW_PAGE,
};

function explain(
  { plan }: Run,
  { candidates, ranked, filtered, known }: PageInput,
  notShown: ReturnType<typeof reasonsAgainst>,
): MessageInitShape<typeof ExplanationSchema> {
  const utilities = ranked?.utilities ?? candidates.scores;
  return {
    ...known,
    ranked: ranked?.utilities.length ?? 0,
    filtered: [
      ...filtered.map(({ itemId, reason }) => ({ itemId, reason: REASONS[reason] })),
      ...notShown.map(({ candidate, reason }) => ({
        itemId: candidates.itemIds[candidate] as string,
        reason: REASONS[reason],
        utility: utilities[candidate] as number,
      })),
    ],
    utilityWeights: { ...plan.weightsInForce },
    outcomeBudgets: plan.budgets.map((budget) => ({ ...budget, offsetMs: BigInt(budget.offsetMs) })),
  };
}

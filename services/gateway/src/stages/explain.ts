import type { MessageInitShape } from '@bufbuild/protobuf';
import { type ExplanationSchema, FilteredItem_Reason } from '@onepass/contracts';
import type { FilterReason, NotShown, PageSelection } from '@onepass/pages';
import type { PageInput } from './page-input.js';
import type { Run } from './run.js';

type Explanation = MessageInitShape<typeof ExplanationSchema>;

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

/** Why each item of the page is where it is, and why each other that was, or would have been, a candidate is not on it. */
export function explain(
  { plan }: Run,
  input: PageInput,
  { selected, order }: PageSelection,
  notShown: readonly NotShown[],
): Explanation {
  const { ranked, filtered, known, mergedInto, candidates } = input;
  const places = new Map(order.map((candidate, place) => [candidate, place]));
  return {
    ...known,
    ranked: ranked?.utilities.length ?? 0,
    filtered: [
      ...filtered.map(({ reason, sources, ...item }) => ({ ...item, reason: REASONS[reason], sources: [...sources] })),
      ...notShown.map((item) => notShownItem(input, item, plan.diversity)),
    ],
    utilityWeights: { ...plan.weightsInForce },
    outcomeBudgets: plan.budgets.map((budget) => ({ ...budget, offsetMs: BigInt(budget.offsetMs) })),
    mergedInto: [...mergedInto],
    items: selected.map((candidate) => ({
      itemId: candidates.itemIds[candidate] as string,
      contributions: contributions(ranked, candidate, plan.weightsInForce),
      utilityRank: places.get(candidate) as number,
    })),
  };
}

function notShownItem(
  { candidates, ranked }: PageInput,
  { candidate, reason, full }: NotShown,
  windows: Run['plan']['diversity'],
) {
  const rule = full && windows[full.window];
  return {
    itemId: candidates.itemIds[candidate] as string,
    reason: REASONS[reason],
    // Not a number never leaves the gateway, in an explanation neither.
    ...(reason !== 'not_a_number' && { utility: (ranked?.utilities ?? candidates.scores)[candidate] as number }),
    ...(rule && {
      detail: `diversity.windows[${full.window}]: ${rule.maximum} of ${rule.attribute} "${full.value}" in ${rule.window} positions`,
    }),
    sources: candidates.sourcesOf(candidate),
  };
}

/** Weight x probability by action. */
function contributions(
  ranked: PageInput['ranked'],
  candidate: number,
  weights: Readonly<Record<string, number>>,
): Record<string, number> {
  if (ranked === undefined) return {};
  const { actions, probabilities } = ranked;
  const row = probabilities.subarray(candidate * actions.length, (candidate + 1) * actions.length);
  return Object.fromEntries(actions.map((action, i) => [action, (weights[action] ?? 0) * (row[i] as number)]));
}

import { randomBytes } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Mode, type PageItemSchema, type RecommendResponseSchema, View } from '@onepass/contracts';
import {
  diversityOf,
  type PageCandidates,
  type PageRules,
  type PageSelection,
  quoted,
  reasonsAgainst,
  recentValues,
  SLATE_ENTROPY_BYTES,
  sealPageToken,
  selectPage,
  slateId,
  TOKEN_ITEMS,
  unknownBefore,
} from '@onepass/pages';
import { explain } from './explain.js';
import type { PageInput } from './page-input.js';
import type { Run } from './run.js';

type PageFields = Pick<
  MessageInitShape<typeof RecommendResponseSchema>,
  'slateId' | 'items' | 'nextPageToken' | 'actions' | 'explanation'
>;

/** The page: best first, diverse, numbered on from the pages before. */
export function page(run: Run, input: PageInput, pageTokenKey: Uint8Array): PageFields {
  const { plan } = run;
  const { candidates, ranked } = input;
  const { itemIds, valuesOf, scores } = candidates;
  const shown = { itemIds, utilities: ranked?.utilities ?? scores, valuesOf };
  const { pageSize: size, diversity, progress } = plan;
  const rules: PageRules = { size, order: ranked ? 'utility' : 'given', diversity, recent: progress.recent };
  const selection = selectPage(shown, rules);
  warn(run, selection);
  return {
    slateId: slateId(run.nowMs, randomBytes(SLATE_ENTROPY_BYTES)),
    items: selection.selected.map((candidate, i) => pageItem(run, input, candidate, i)),
    nextPageToken: nextPageToken(run, selection, { shown, rules, mayHoldMore: input.mayHoldMore, pageTokenKey }),
    actions: plan.view === View.BASIC ? [] : [...(ranked?.actions ?? [])],
    ...(plan.view === View.EXPLAIN && {
      explanation: explain(run, input, selection, reasonsAgainst(selection, shown, rules)),
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

function nextPageToken(
  run: Run,
  { selected, order }: PageSelection,
  { shown, rules, mayHoldMore, pageTokenKey }: NextPage,
): string {
  const { mode, progress, tokenScope } = run.plan;
  const more = mayHoldMore || order.length > selected.length;
  if (mode === Mode.SCORE_ONLY || selected.length === 0 || !more) return '';
  const token = sealPageToken(pageTokenKey, tokenScope, {
    returned: [...progress.returned, ...selected.map((i) => shown.itemIds[i] as string)],
    position: progress.position + selected.length,
    recent: recentValues(selected, diversityOf(shown, rules)),
  });
  if (token === undefined) run.warnings.push(`this is the last page: a chain of pages ends at ${TOKEN_ITEMS} items`);
  return token ?? '';
}

interface NextPage {
  readonly shown: PageCandidates;
  readonly rules: PageRules;
  readonly mayHoldMore: boolean;
  readonly pageTokenKey: Uint8Array;
}

function warn(run: Run, { selected, order }: PageSelection): void {
  if (selected.length === 0) {
    run.warnings.push('the page is empty: filters, exclusions and what was seen or returned before leave nothing');
  } else if (selected.length < run.plan.pageSize && order.length > selected.length) {
    run.warnings.push(`diversity leaves ${run.plan.pageSize - selected.length} places of the page empty`);
  }
  const { diversity, progress } = run.plan;
  for (const attribute of unknownBefore(diversity, progress.recent, progress.position)) {
    run.warnings.push(
      `diversity of ${quoted(attribute)} does not count all pages before: they were asked for otherwise`,
    );
  }
}

import { Degraded_Reason, type gatewayCatalog, KvSource, type RecommendResponse } from '@onepass/contracts';
import { type Column, formatTable } from './table.js';

/** One line of a page, ready to be shown. */
export interface PageRow {
  readonly itemId: string;
  readonly position: number;
  readonly title: string;
  /** None where the item has none, or its release no such attribute. */
  readonly categories: readonly string[];
  readonly utility: number;
  readonly probabilities: readonly number[];
  /** Who brought it and at which rank, as "save 3, any 10". */
  readonly sources: string;
}

type Item = gatewayCatalog.GetItemsResponse['items'][number];

/** Rows of a page, with titles and, as categories, the words of `attribute` from the catalogue. */
export function pageRows(
  page: RecommendResponse,
  items: ReadonlyMap<string, Item>,
  attribute: string | undefined,
): PageRow[] {
  return page.items.map((item) => {
    const known = items.get(item.itemId);
    return {
      itemId: item.itemId,
      position: item.position,
      title: known?.title || item.itemId,
      categories: known === undefined ? [] : attributeTexts(known, attribute),
      utility: item.utility,
      probabilities: item.probabilities,
      sources: item.sources.map((source) => `${source.outcome || source.name} ${source.rank + 1}`).join(', '),
    };
  });
}

/** The attribute that sorts items in words: `category`, else the first by name that is text; undefined = none is. */
export function categoryAttribute(items: readonly Item[]): string | undefined {
  const names = new Set(items.flatMap((item) => Object.keys(item.attributes)));
  const inWords = [...names].filter((name) => items.some((item) => attributeTexts(item, name).length > 0)).sort();
  return inWords.find((name) => name === 'category') ?? inWords[0];
}

/** An attribute's words; none where the item has none, or a number. */
function attributeTexts(item: Item, attribute: string | undefined): readonly string[] {
  const kind = attribute === undefined ? undefined : item.attributes[attribute]?.kind;
  if (kind?.case === 'text') return [kind.value];
  return kind?.case === 'texts' ? kind.value.values : [];
}

const WIDTH = 110;
/** Actions that have a column; more leave the titles no room. */
const ACTIONS = 6;
const CHANGE: Column = { title: 'before', align: 'right' };

/**
 * The page as an aligned table of at most 110 columns.
 * @param previous positions of the page before, by item id: adds the column that says where an item was.
 */
export function pageTable(
  rows: readonly PageRow[],
  actions: readonly string[],
  previous?: ReadonlyMap<string, number>,
): string[] {
  const shown = actions.slice(0, ACTIONS);
  const columns: Column[] = [
    { title: '#', align: 'right' },
    ...(previous ? [CHANGE] : []),
    { title: 'title', align: 'left', flexible: true },
    { title: 'category', align: 'left', longest: 12 },
    { title: 'utility', align: 'right' },
    ...shown.map((action): Column => ({ title: action, align: 'right', longest: 10 })),
    { title: 'sources', align: 'left', longest: 18 },
  ];
  const lines = rows.map((row) => [
    String(row.position + 1),
    ...(previous ? [change(row, previous)] : []),
    row.title,
    row.categories.join(', '),
    row.utility.toFixed(3),
    ...shown.map((_, i) => (row.probabilities[i] ?? Number.NaN).toFixed(3)),
    row.sources,
  ]);
  return formatTable(columns, lines, WIDTH);
}

function change(row: PageRow, previous: ReadonlyMap<string, number>): string {
  const before = previous.get(row.itemId);
  if (before === undefined) return 'new';
  if (before === row.position) return '=';
  return `${before > row.position ? '↑' : '↓'} ${before + 1}`;
}

/** Stage times, where the KV came from and what was degraded, in one line. */
export function pageFacts(page: RecommendResponse, tookMs: number): string {
  const stages = page.stages.map((s) => `${s.stage} ${(s.micros / 1000).toFixed(1)}`).join(', ');
  const degraded = page.degraded.map((d) => `degraded ${Degraded_Reason[d.reason]}: ${d.detail}`);
  return [
    `${tookMs.toFixed(1)} ms (${stages})`,
    `KV ${KvSource[page.kvSource]}`,
    `history ${page.historySequence}`,
    ...degraded,
  ].join(' · ');
}

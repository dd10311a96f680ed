import { Degraded_Reason, type gatewayCatalog, KvSource, type RecommendResponse } from '@onepass/contracts';
import { type Column, formatTable } from './table.js';

/** One line of a page, ready to be shown. */
export interface PageRow {
  readonly itemId: string;
  readonly position: number;
  readonly title: string;
  readonly category: string;
  readonly utility: number;
  readonly probabilities: readonly number[];
  /** Who brought it and at which rank, as "save 3, any 10". */
  readonly sources: string;
}

type Item = gatewayCatalog.GetItemsResponse['items'][number];

/** Rows of a page, with titles and the attribute `categoryAttribute` from the catalogue. */
export function pageRows(
  page: RecommendResponse,
  items: ReadonlyMap<string, Item>,
  categoryAttribute: string | undefined,
): PageRow[] {
  return page.items.map((item) => {
    const known = items.get(item.itemId);
    return {
      itemId: item.itemId,
      position: item.position,
      title: known?.title || item.itemId,
      category: known === undefined ? '' : attributeText(known, categoryAttribute),
      utility: item.utility,
      probabilities: item.probabilities,
      sources: item.sources.map((source) => `${source.outcome || source.name} ${source.rank + 1}`).join(', '),
    };
  });
}

/** An attribute's value as text; empty when the item has none. */
export function attributeText(item: Item, attribute: string | undefined): string {
  const kind = attribute === undefined ? undefined : item.attributes[attribute]?.kind;
  if (kind?.case === 'text') return kind.value;
  if (kind?.case === 'texts') return kind.value.values.join(', ');
  return kind?.case === 'number' ? String(kind.value) : '';
}

const WIDTH = 110;
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
  const columns: Column[] = [
    { title: '#', align: 'right' },
    ...(previous ? [CHANGE] : []),
    { title: 'title', align: 'left', flexible: true },
    { title: 'category', align: 'left', longest: 12 },
    { title: 'utility', align: 'right' },
    ...actions.map((action): Column => ({ title: action, align: 'right' })),
    { title: 'sources', align: 'left', longest: 18 },
  ];
  const lines = rows.map((row) => [
    String(row.position + 1),
    ...(previous ? [change(row, previous)] : []),
    row.title,
    row.category,
    row.utility.toFixed(3),
    ...actions.map((_, i) => (row.probabilities[i] ?? Number.NaN).toFixed(3)),
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

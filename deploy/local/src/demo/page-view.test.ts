import { create } from '@bufbuild/protobuf';
import { gatewayCatalog, KvSource, RecommendResponseSchema } from '@onepass/contracts';
import { expect, test } from 'vitest';
import { pageFacts, pageRows, pageTable } from './page-view.js';
import { formatTable, shorten } from './table.js';

const { items } = create(gatewayCatalog.GetItemsResponseSchema, {
  items: [
    {
      id: 'i1',
      title: 'Minimalist forest-green stoneware casserole with a lid',
      attributes: { category: { kind: { case: 'text', value: 'home decoration' } } },
    },
  ],
});
const page = create(RecommendResponseSchema, {
  actions: ['impression', 'click', 'save', 'share', 'hide'],
  items: [
    {
      itemId: 'i1',
      position: 0,
      utility: -12.345678,
      probabilities: [0.5, 0.25, 0.125, 0.1, 0.0004],
      sources: [
        { name: 'retrieval', outcome: 'save', rank: 2 },
        { name: 'external', rank: 0 },
      ],
    },
    { itemId: 'unknown', position: 1, utility: 0.5, probabilities: [] },
  ],
  stages: [{ stage: 'encode', micros: 1234 }],
  kvSource: KvSource.APPEND,
  historySequence: 7n,
});
const rows = pageRows(page, new Map(items.map((item) => [item.id, item])), 'category');

test('a page is a table of at most 110 columns, whatever the titles', () => {
  const lines = pageTable(rows, page.actions, new Map([['i1', 4]]));
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(110);
  expect(lines).toEqual([
    '#  before  title             category      utility  impression  click   save  share   hide  sources',
    '1     ↑ 5  Minimalist fore…  home decora…  -12.346       0.500  0.250  0.125  0.100  0.000  save 3, external 1',
    '2     new  unknown                           0.500         NaN    NaN    NaN    NaN    NaN',
  ]);
});

test('the facts say stage times, KV source and history', () => {
  expect(pageFacts(page, 6.02)).toBe('6.0 ms (encode 1.2) · KV APPEND · history 7');
});

test('cells are cut to their longest and lines end without spaces', () => {
  expect(shorten('abc', 3)).toBe('abc');
  expect(shorten('abcd', 3)).toBe('ab…');
  expect(
    formatTable(
      [
        { title: 'a', align: 'left' },
        { title: 'b', align: 'left' },
      ],
      [
        ['1', ''],
        ['22', 'x'],
      ],
    ),
  ).toEqual(['a   b', '1', '22  x']);
});

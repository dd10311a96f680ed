import type { DescribeResponse, OnepassClient } from '@onepass/client';
import { expect, test } from 'vitest';
import { askAgain } from './replay-slate.js';
import type { SlateRow } from './schema.js';

const slate: SlateRow = {
  slate_id: 's',
  person: undefined,
  surface: 'home',
  time_ms: 5n,
  history_sequence: 0n,
  history_hash: '0'.repeat(16),
  release_id: 'r',
  foreign: false,
  degraded: [],
  related_item_ids: [],
  query_text: undefined,
  query_embedding: undefined,
  features: { hour: 8.1, age: 0 },
  actions: ['click'],
  items: [{ item_id: 'a', position: 0n, utility: 0.5, probabilities: [0.5], visible: undefined, actions: undefined }],
};

test('a slate is asked for again with its features; one of an export that knew none, without', async () => {
  const asked: unknown[] = [];
  const items = [{ itemId: 'a', utility: 0.5, probabilities: [0.5] }];
  const recommend = async (request: { features?: unknown }) => {
    asked.push(request.features);
    return { actions: ['click'], items, historyHash: 0n };
  };
  const onepass = { recommend } as unknown as OnepassClient;
  const model = { actions: [{ name: 'click', utilityWeight: 1 }] } as unknown as DescribeResponse;
  const { features, ...older } = slate;
  const again = [
    await askAgain(onepass, undefined, slate, model),
    await askAgain(onepass, undefined, older as SlateRow, model),
  ];
  expect(asked).toEqual([{ hour: 8.1, age: 0 }, {}]);
  expect(again[0]).toEqual({ sameHistory: true, probabilities: [0], utilities: [0] });
  expect(again[1]).toEqual(again[0]);
});

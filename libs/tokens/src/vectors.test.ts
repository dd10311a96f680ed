import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Items, loadRelease, openItems, type Release } from '@onepass/release';
import { SMOKE_RELEASE } from '@onepass/testing';
import { beforeAll, expect, test } from 'vitest';
import {
  candidateRow,
  contextRows,
  headOffset,
  pastTokens,
  queryTokens,
  type RowLayout,
  rowLayout,
  writePastRows,
} from './index.js';

interface VectorEvent {
  readonly item: string | null;
  readonly query: string | null;
  readonly actions: readonly string[];
  readonly surface: string;
  readonly timeMs: number;
}
interface VectorRequest {
  readonly surface: string;
  readonly nowMs: number;
  readonly relatedItem: string | null;
  readonly queryText: string | null;
  /** Absent, as in a release that declares none = none were given. */
  readonly features?: Readonly<Record<string, number>>;
  /** Zeros = none. */
  readonly contextEmbedding: readonly number[];
  readonly contextRow: readonly number[];
  readonly candidateRow: readonly number[];
}
interface VectorHistory {
  readonly name: string;
  readonly events: readonly VectorEvent[];
  readonly rows: readonly (readonly number[])[];
  readonly lastTimeMs: number | null;
  readonly requests: readonly VectorRequest[];
}

const vectors: { histories: readonly VectorHistory[] } = JSON.parse(
  readFileSync(join(SMOKE_RELEASE, 'vectors/tokens.json'), 'utf8'),
);
/** The query tower's, which services/user-encoder is held to. */
const { texts }: { texts: readonly { readonly text: string; readonly embedding: readonly number[] | null }[] } =
  JSON.parse(readFileSync(join(SMOKE_RELEASE, 'vectors/tokenizer.json'), 'utf8'));
let release: Release;
let items: Items;
let layout: RowLayout;
beforeAll(async () => {
  release = await loadRelease(SMOKE_RELEASE);
  items = await openItems(release);
  layout = rowLayout(release.manifest);
});

const tokensOf = (history: VectorHistory) =>
  pastTokens(
    {
      itemRow: (id) => items.rowOf(id),
      actionIndex: (name) => release.vocabulary.actions.index(name),
      knowsQuery: (text) => queryTokens(text, release.manifest.queryTokenizer!).length > 0,
      surfaceIndex: (name) => release.vocabulary.surfaces.index(name),
    },
    history.events.map((e) => ({
      itemId: e.item ?? undefined,
      queryText: e.query ?? undefined,
      actions: e.actions,
      surface: e.surface,
      effectiveMs: e.timeMs,
    })),
  );

/** Two implementations of log1p and sin may differ by the last bit of a float32. */
function expectClose(actual: Iterable<number>, expected: readonly number[]): void {
  const numbers = [...actual];
  expect(numbers).toHaveLength(expected.length);
  numbers.forEach((value, column) => {
    expect(Math.abs(value - expected[column]!), `column ${column}`).toBeLessThanOrEqual(1.2e-7);
  });
}

test.each(vectors.histories)('the past rows of training’s history "$name"', (history) => {
  const tokens = tokensOf(history);
  expect(tokens).toHaveLength(history.rows.length);
  expect(tokens.at(-1)?.timeMs ?? null).toBe(history.lastTimeMs);
  const rows = new Float32Array(tokens.length * layout.features);
  writePastRows(layout, rows, tokens, {
    previousMs: undefined,
    itemEmbedding: (row) => items.embedding(row),
    queryEmbedding: (text) => Float32Array.from(texts.find((t) => t.text === text)!.embedding!),
  });
  history.rows.forEach((row, index) => {
    expectClose(rows.subarray(index * layout.features, (index + 1) * layout.features), row);
  });
});

test.each(vectors.histories)('the request rows of training’s history "$name"', (history) => {
  const previousMs = history.lastTimeMs ?? undefined;
  for (const { surface, nowMs, relatedItem, contextEmbedding, features, ...expected } of history.requests) {
    const request = { surface: release.vocabulary.surfaces.index(surface)!, nowMs, previousMs };
    const embeddings = contextEmbedding.some((x) => x !== 0) ? Float32Array.from(contextEmbedding) : undefined;
    if (relatedItem !== null) expect(items.embedding(items.rowOf(relatedItem)!)).toEqual(embeddings);
    expectClose(contextRows(layout, { ...request, embeddings, features }), expected.contextRow);
    expectClose(candidateRow(layout, request), expected.candidateRow);
  }
});

test('a second ahead is log1p(1) over the scale', () => {
  expect(headOffset(layout, 1000)).toBeCloseTo(Math.log1p(1) / release.manifest.tokens.deltaScale, 7);
});

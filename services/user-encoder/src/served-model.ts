import type { Items, Release } from '@onepass/release';
import { type KnownWorld, type QueryTokenizer, queryTokens, type RowLayout, rowLayout } from '@onepass/tokens';

/** What encoding reads of a release. */
export interface ServedModel {
  readonly releaseId: string;
  readonly layers: number;
  /** W: numbers per token in each of K and V, and in a hidden state. */
  readonly width: number;
  /** Most past tokens. */
  readonly window: number;
  /** Most context rows. */
  readonly contextRows: number;
  readonly layout: RowLayout;
  readonly world: KnownWorld;
  /** Undefined = a release without a query tower. */
  readonly queryTokenizer: QueryTokenizer | undefined;
  /** Index of an outcome, "any" included; throws `invalid_argument` naming `field`. */
  outcome(name: string, field: string): number;
  readonly outcomes: number;
  /** Index of a surface; throws `invalid_argument` naming `field`. */
  surface(name: string, field: string): number;
  /** [E] of a row of the item table, into `out` where given. */
  embedding(itemRow: number, out?: Float32Array): Float32Array;
}

export function servedModel(release: Release, items: Items): ServedModel {
  const { layers, width, window, contextRows } = release.manifest.model;
  const { actions, surfaces, outcomes } = release.vocabulary;
  const { queryTokenizer } = release.manifest;
  return {
    releaseId: release.id,
    layers,
    width,
    window,
    contextRows,
    layout: rowLayout(release.manifest),
    world: {
      itemRow: (id) => items.rowOf(id),
      knowsQuery: (text) =>
        queryTokenizer !== undefined && queryTokens(text, { ...queryTokenizer, maxTokens: 1 }).length > 0,
      actionIndex: (name) => actions.index(name),
      surfaceIndex: (name) => surfaces.index(name),
    },
    queryTokenizer,
    outcome: (name, field) => outcomes.require(name, field),
    outcomes: outcomes.size,
    surface: (name, field) => surfaces.require(name, field),
    embedding: (row, out) => items.embedding(row, out),
  };
}

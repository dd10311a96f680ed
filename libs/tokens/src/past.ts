import type { RowLayout } from './layout.js';
import { writePastRow } from './rows.js';

/** What the tokens read of an event of the history, in the history's order. */
export interface PastEvent {
  /** Absent: a query. */
  readonly itemId?: string | undefined;
  readonly queryText?: string | undefined;
  /** By name. */
  readonly actions: readonly string[];
  readonly surface: string;
  /** Epoch milliseconds, never less than the event's before it. */
  readonly effectiveMs: number;
}

/** What the tokens read of a release. */
export interface KnownWorld {
  /** Row of the item table; undefined = not an item of this release. */
  itemRow(itemId: string): number | undefined;
  /** Whether a query's text has a token: never in a release without a query tower. */
  knowsQuery(text: string): boolean;
  /** Undefined = not an action of this release. */
  actionIndex(name: string): number | undefined;
  /** Undefined = not a surface of this release. */
  surfaceIndex(name: string): number | undefined;
}

/** One position of the past, as indices into the release: of an item, or of a query, which has no actions. */
export type PastToken = TokenBase &
  (
    | { readonly itemRow: number; readonly queryText?: undefined; readonly actions: readonly number[] }
    | { readonly itemRow?: undefined; readonly queryText: string; readonly actions: readonly [] }
  );

interface TokenBase {
  /** -1 = a surface the release does not know. */
  readonly surface: number;
  readonly timeMs: number;
}

/**
 * The tokens of events, in order. An event whose item the release does not know, or none of whose actions, makes no token and is
 * nobody's previous; an action name it does not know is left out. A query's token is its text and has none of its actions.
 */
export function pastTokens(world: KnownWorld, events: Iterable<PastEvent>): PastToken[] {
  const tokens: PastToken[] = [];
  for (const event of events) {
    const base = { surface: world.surfaceIndex(event.surface) ?? -1, timeMs: event.effectiveMs };
    const { itemId, queryText } = event;
    if (itemId === undefined) {
      if (queryText !== undefined && world.knowsQuery(queryText)) tokens.push({ ...base, queryText, actions: [] });
      continue;
    }
    const itemRow = world.itemRow(itemId);
    if (itemRow === undefined) continue;
    const actions: number[] = [];
    for (const name of event.actions) {
      const index = world.actionIndex(name);
      if (index !== undefined) actions.push(index);
    }
    if (actions.length === 0) continue;
    tokens.push({ ...base, itemRow, actions });
  }
  return tokens;
}

/**
 * Writes `tokens` as rows 0 .. tokens.length - 1 of `out` [at least that many, F].
 * @param past `previousMs`: time of the token before the first one; the embeddings [E]: of the item table, of the query tower
 */
export function writePastRows(
  layout: RowLayout,
  out: Float32Array,
  tokens: readonly PastToken[],
  past: {
    readonly previousMs: number | undefined;
    itemEmbedding(itemRow: number): Float32Array;
    queryEmbedding(text: string): Float32Array;
  },
): void {
  let previousMs = past.previousMs;
  tokens.forEach((token, index) => {
    const { actions, surface, timeMs } = token;
    const query = token.queryText !== undefined;
    const embedding = query ? past.queryEmbedding(token.queryText) : past.itemEmbedding(token.itemRow);
    writePastRow(layout, out, index, { embedding, query, actions, surface, timeMs, previousMs });
    previousMs = timeMs;
  });
}

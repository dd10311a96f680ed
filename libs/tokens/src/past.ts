import type { RowLayout } from './layout.js';
import { writePastRow } from './rows.js';

/** What the tokens read of an event of the history, in the history's order. */
export interface PastEvent {
  /** Absent: a query, which makes no row in a release without a query tower. */
  readonly itemId?: string | undefined;
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
  /** Undefined = not an action of this release. */
  actionIndex(name: string): number | undefined;
  /** Undefined = not a surface of this release. */
  surfaceIndex(name: string): number | undefined;
}

/** One position of the past, as indices into the release. */
export interface PastToken {
  readonly itemRow: number;
  readonly actions: readonly number[];
  /** -1 = a surface the release does not know. */
  readonly surface: number;
  readonly timeMs: number;
}

/**
 * The tokens of events, in order. An event whose item the release does not know, or none of whose actions, makes no token and is
 * nobody's previous; an action name it does not know is left out.
 */
export function pastTokens(world: KnownWorld, events: Iterable<PastEvent>): PastToken[] {
  const tokens: PastToken[] = [];
  for (const event of events) {
    const itemRow = event.itemId === undefined ? undefined : world.itemRow(event.itemId);
    if (itemRow === undefined) continue;
    const actions: number[] = [];
    for (const name of event.actions) {
      const index = world.actionIndex(name);
      if (index !== undefined) actions.push(index);
    }
    if (actions.length === 0) continue;
    tokens.push({ itemRow, actions, surface: world.surfaceIndex(event.surface) ?? -1, timeMs: event.effectiveMs });
  }
  return tokens;
}

/**
 * Writes `tokens` as rows 0 .. tokens.length - 1 of `out` [at least that many, F].
 * @param past `previousMs`: time of the token before the first one; `embedding(row)`: [E] of the item table
 */
export function writePastRows(
  layout: RowLayout,
  out: Float32Array,
  tokens: readonly PastToken[],
  past: { readonly previousMs: number | undefined; embedding(itemRow: number): Float32Array },
): void {
  let previousMs = past.previousMs;
  tokens.forEach((token, index) => {
    const { actions, surface, timeMs } = token;
    writePastRow(layout, out, index, {
      embedding: past.embedding(token.itemRow),
      actions,
      surface,
      timeMs,
      previousMs,
    });
    previousMs = timeMs;
  });
}

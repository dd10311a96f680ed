import type { RunSizes } from './trunk-runs.js';

/** How a run of several went. */
export interface Played<W> {
  /** @see Forecast: `work` is what was asked for. */
  readonly ran?: { readonly sizes: RunSizes; readonly work: number; readonly ms: number };
  /** None of these has an answer. */
  readonly failed?: { readonly works: readonly W[]; readonly error: unknown };
}

import { unavailable } from '@onepass/errors';
import type { LeafRequest, LeafShard } from './leaf.js';
import { bestHits, type Hits } from './top.js';

export interface RootAnswer {
  /** For each query, best first. */
  readonly hits: readonly Hits[];
  readonly shardsTotal: number;
  readonly shardsAnswered: number;
}

export interface RootOptions {
  readonly leaves: readonly LeafShard[];
  /** By row of the item table: ties are ordered by them. */
  readonly ids: readonly string[];
  /** Told of every leaf that failed or was late. */
  readonly onLeafFailure: (leaf: number, cause: unknown) => void;
}

/** Asks all leaves and merges what they found. */
export class Root {
  readonly #options: RootOptions;

  constructor(options: RootOptions) {
    this.#options = options;
  }

  /**
   * The best of all shards for each query. A leaf that fails, or has not answered after `withinMs`, lowers the coverage.
   * @throws OnepassError `unavailable` when no leaf answers; the signal's reason when it is aborted
   */
  async search(request: LeafRequest, withinMs: number): Promise<RootAnswer> {
    request.signal?.throwIfAborted();
    const { leaves, ids, onLeafFailure } = this.#options;
    const settled = await settle(
      leaves.map((leaf) => ask(leaf, request)),
      { withinMs, signal: request.signal },
    );
    const answers: (readonly Hits[])[] = [];
    for (const [leaf, outcome] of settled.entries()) {
      if (outcome.hits) answers.push(outcome.hits);
      else onLeafFailure(leaf, outcome.cause);
    }
    request.signal?.throwIfAborted();
    if (answers.length === 0) throw unavailable('no shard of the index answered');
    const queries = answers[0]!.length;
    const hits = Array.from({ length: queries }, (_, q) =>
      mergeHits(
        answers.map((answer) => answer[q]!),
        request.limit,
        ids,
      ),
    );
    return { hits, shardsTotal: leaves.length, shardsAnswered: answers.length };
  }
}

type Outcome = { readonly hits: readonly Hits[] } | { readonly hits?: undefined; readonly cause: unknown };

/** A leaf of this process answers at once, so nothing is waited for. */
function ask(leaf: LeafShard, request: LeafRequest): Outcome | Promise<Outcome> {
  try {
    const answer = leaf.search(request);
    if (!(answer instanceof Promise)) return { hits: answer };
    return answer.then(
      (hits) => ({ hits }),
      (cause: unknown) => ({ cause }),
    );
  } catch (cause) {
    return { cause };
  }
}

async function settle(
  outcomes: readonly (Outcome | Promise<Outcome>)[],
  { withinMs, signal }: { withinMs: number; signal: AbortSignal | undefined },
): Promise<Outcome[]> {
  if (!outcomes.some((outcome) => outcome instanceof Promise)) return outcomes as Outcome[];
  let stop = () => {};
  const late = new Promise<Outcome>((resolve) => {
    stop = () => resolve({ cause: new Error(`no answer within ${withinMs} ms`) });
  });
  // A longer wait than the timer can count is no limit.
  const timer = withinMs < 2 ** 31 ? setTimeout(stop, withinMs) : undefined;
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.all(outcomes.map((outcome) => Promise.race([outcome, late])));
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

function mergeHits(parts: readonly Hits[], limit: number, ids: readonly string[]): Hits {
  if (parts.length === 1) return parts[0]!;
  const count = parts.reduce((sum, part) => sum + part.rows.length, 0);
  const rows = new Uint32Array(count);
  const scores = new Float32Array(count);
  let at = 0;
  for (const part of parts) {
    rows.set(part.rows, at);
    scores.set(part.scores, at);
    at += part.rows.length;
  }
  return bestHits(rows, scores, { count, limit, ids });
}

import { OnepassError, unavailable } from '@onepass/errors';
import { NO_SPAN, type Span } from '@onepass/telemetry';
import type { LeafRequest, LeafShard } from './leaf.js';
import { type Hits, isBefore } from './top.js';

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
  readonly onLeafFailure: (leaf: number, cause: unknown, span: Span) => void;
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
    const { limit } = request;
    const latest = performance.now() + withinMs;
    const count = this.#options.leaves.length;
    const fewer = leafLimit(limit, count);
    const parts = await this.#ask([...Array(count).keys()], { ...request, limit: fewer }, latest);
    if (parts.size === 0) throw unavailable('no shard of the index answered');
    let hits = this.#merge(parts, limit);
    if (fewer < limit) {
      const short = [...parts].filter(([, part]) => part.some((own, q) => cutShort(own, fewer, hits[q]!, limit)));
      const again = short.map(([leaf]) => leaf);
      for (const [leaf, part] of await this.#ask(again, request, latest)) parts.set(leaf, part);
      if (again.length > 0) hits = this.#merge(parts, limit);
    }
    return { hits, shardsTotal: count, shardsAnswered: parts.size };
  }

  /** What those of `leaves` that answer find, by leaf. */
  async #ask(leaves: readonly number[], request: LeafRequest, latest: number): Promise<Map<number, readonly Hits[]>> {
    request.signal?.throwIfAborted();
    const settled = await settle(
      leaves.map((leaf) => this.#askOne(leaf, request)),
      { withinMs: latest - performance.now(), signal: request.signal },
    );
    request.signal?.throwIfAborted();
    const parts = new Map<number, readonly Hits[]>();
    for (const [i, outcome] of settled.entries()) {
      if (outcome.hits) parts.set(leaves[i]!, outcome.hits);
      else this.#options.onLeafFailure(leaves[i]!, outcome.cause, request.span ?? NO_SPAN);
    }
    return parts;
  }

  #askOne(leaf: number, request: LeafRequest): Outcome | Promise<Outcome> {
    const span = (request.span ?? NO_SPAN).child('search_shard', { attributes: { 'onepass.shard': leaf } });
    const outcome = ask(this.#options.leaves[leaf]!, request);
    const end = (ended: Outcome) => span.end(ended.hits ? undefined : OnepassError.from(ended.cause).kind);
    if (outcome instanceof Promise) void outcome.then(end);
    else end(outcome);
    return outcome;
  }

  #merge(parts: ReadonlyMap<number, readonly Hits[]>, limit: number): Hits[] {
    const byLeaf = [...parts.values()];
    return byLeaf[0]!.map((_, q) =>
      mergeHits(
        byLeaf.map((part) => part[q]!),
        limit,
        this.#options.ids,
      ),
    );
  }
}

/** What a leaf is asked for at first: items lie on shards by a hash, so its part of the best is near limit / leaves. */
function leafLimit(limit: number, leaves: number): number {
  const part = limit / leaves;
  return Math.min(limit, Math.ceil(part + 4 * Math.sqrt(part) + 8));
}

/** Whether a leaf that gave all it was asked for may have more that belong to the best. */
function cutShort(part: Hits, asked: number, merged: Hits, limit: number): boolean {
  if (part.rows.length < asked) return false;
  return merged.rows.length < limit || part.scores.at(-1)! >= merged.scores.at(-1)!;
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
    stop = () => resolve({ cause: new Error('no answer in time') });
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

/** The best of parts that are in order themselves. */
function mergeHits(parts: readonly Hits[], limit: number, ids: readonly string[]): Hits {
  const found = parts.reduce((sum, part) => sum + part.rows.length, 0);
  const count = Math.min(limit, found);
  const merged = { rows: new Uint32Array(count), scores: new Float32Array(count) };
  const taken = parts.map(() => 0);
  for (let rank = 0; rank < count; rank++) {
    let best = -1;
    for (let p = 0; p < parts.length; p++) {
      if (taken[p]! === parts[p]!.rows.length) continue;
      if (best < 0 || isBefore(parts[p]!, taken[p]!, parts[best]!, taken[best]!, ids)) best = p;
    }
    const at = taken[best]!;
    merged.rows[rank] = parts[best]!.rows[at]!;
    merged.scores[rank] = parts[best]!.scores[at]!;
    taken[best] = at + 1;
  }
  return merged;
}

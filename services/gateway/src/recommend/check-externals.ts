import type { ExternalCandidate } from '@onepass/contracts';
import { decodeEmbedding } from '@onepass/embeddings';
import type { Violations } from '@onepass/pages';
import type { ExternalItem } from './plan.js';

const DEFAULT_SOURCE = 'external';

/** The caller's own candidates, each id once with all sources that named it; of several embeddings the first counts. */
export function checkExternals(
  candidates: readonly ExternalCandidate[],
  dimension: number,
  violations: Violations,
): ExternalItem[] {
  const items = new Map<string, { embedding: Float32Array | undefined; sources: { name: string; rank: number }[] }>();
  for (const [rank, candidate] of candidates.entries()) {
    const field = `external_candidates[${rank}]`;
    violations.id(`${field}.item_id`, candidate.itemId);
    violations.optionalId(`${field}.source`, candidate.source);
    const embedding =
      candidate.embedding &&
      violations.attempt(() => decodeEmbedding(candidate.embedding!, `${field}.embedding`, dimension));
    const item = items.get(candidate.itemId) ?? { embedding: undefined, sources: [] };
    item.embedding ??= embedding;
    item.sources.push({ name: candidate.source || DEFAULT_SOURCE, rank });
    items.set(candidate.itemId, item);
  }
  return [...items].map(([itemId, item]) => ({ itemId, ...item }));
}

import { EmbeddingType } from '@onepass/contracts';
import type { FilterReason } from '@onepass/pages';
import type { PopularItems } from '../served-release.js';
import { type CandidateSet, type SourceFields, sourceOf } from './candidate-set.js';
import type { FilteredOut } from './filtered-out.js';

const NO_SCALES = new Uint8Array(0);

/**
 * The gateway's own popular list as candidates, for when retrieval is down. Scores fall with the place in the list, as
 * 1 / (place + 1): they say the order and nothing else.
 */
export function popularFallback(
  popular: PopularItems,
  reasonAgainst: (itemId: string) => FilterReason | undefined,
  limit: number,
): CandidateSet {
  const kept = [...popular.itemIds.keys()]
    .filter((place) => reasonAgainst(popular.itemIds[place]!) === undefined)
    .slice(0, limit);
  const dimension = popular.embeddings.length / popular.itemIds.length;
  const rows = new Uint16Array(kept.length * dimension);
  for (const [i, place] of kept.entries()) {
    rows.set(popular.embeddings.subarray(place * dimension, (place + 1) * dimension), i * dimension);
  }
  const scores = Float32Array.from(kept, (place) => 1 / (place + 1));
  return {
    itemIds: kept.map((place) => popular.itemIds[place]!),
    embeddings: { values: new Uint8Array(rows.buffer), type: EmbeddingType.F16, dimension, scales: NO_SCALES },
    scores,
    sourcesOf: (i) => [sourceAt(kept[i]!)],
    valuesOf: (i, attribute) => {
      const value = popular.attributes[kept[i]!]?.[attribute];
      if (value === undefined) return [];
      return typeof value === 'object' ? value : [String(value)];
    },
  };
}

/** Who would have been among the first `limit` of the list. */
export function popularKeptOut(
  popular: PopularItems,
  reasonAgainst: (itemId: string) => FilterReason | undefined,
  limit: number,
): FilteredOut[] {
  return popular.itemIds.slice(0, limit).flatMap((itemId, rank) => {
    const reason = reasonAgainst(itemId);
    return reason === undefined ? [] : [{ itemId, reason, sources: [sourceAt(rank)] }];
  });
}

function sourceAt(rank: number): SourceFields {
  return sourceOf(undefined, { query: 0, rank, score: 1 / (rank + 1) });
}

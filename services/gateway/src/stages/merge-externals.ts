import { EmbeddingType } from '@onepass/contracts';
import { type EmbeddingBatchFields, encodeEmbeddings } from '@onepass/embeddings';
import type { CandidateSet } from './candidate-set.js';
import { defect } from './candidate-set.js';
import { externalSources, type ResolvedExternal } from './look-up-stage.js';

/**
 * The retrieved candidates and, behind them, the external ones that were not retrieved. One that was gets its sources beside
 * retrieval's, and keeps retrieval's embedding. An external has no retrieval score: 0.
 * @param retrieved undefined = nothing was retrieved
 */
export function mergeExternals(
  retrieved: CandidateSet | undefined,
  externals: readonly ResolvedExternal[],
  dimension: number,
): CandidateSet {
  if (externals.length === 0 && retrieved !== undefined) return retrieved;
  const count = retrieved?.itemIds.length ?? 0;
  const places = new Map(retrieved?.itemIds.map((id, i) => [id, i]));
  const brought = new Map<number, ResolvedExternal>();
  const added: ResolvedExternal[] = [];
  for (const external of externals) {
    const place = places.get(external.item.itemId);
    brought.set(place ?? count + added.length, external);
    if (place === undefined) added.push(external);
  }
  const sourcesOf = (i: number) => {
    const own = i < count ? (retrieved?.sourcesOf(i) ?? []) : [];
    const external = brought.get(i);
    return external === undefined ? own : [...own, ...externalSources(external.item)];
  };
  const scores = new Float32Array(count + added.length);
  if (retrieved) scores.set(retrieved.scores);
  return {
    itemIds: [...(retrieved?.itemIds ?? []), ...added.map((external) => external.item.itemId)],
    embeddings: withRows(count === 0 ? undefined : retrieved?.embeddings, added, dimension),
    scores,
    sourcesOf,
    valuesOf: (i, attribute) =>
      i < count ? (retrieved?.valuesOf(i, attribute) ?? []) : (added[i - count]?.valuesOf(attribute) ?? []),
  };
}

/** Rows of one batch stay as they are; the added ones take its type. */
function withRows(
  batch: EmbeddingBatchFields | undefined,
  added: readonly ResolvedExternal[],
  dimension: number,
): EmbeddingBatchFields {
  const rows = new Float32Array(added.length * dimension);
  for (const [i, { embedding }] of added.entries()) rows.set(embedding, i * dimension);
  if (batch === undefined) return encodeEmbeddings(rows, dimension, EmbeddingType.F32);
  if (batch.dimension !== dimension || batch.type === EmbeddingType.UNSPECIFIED) {
    throw defect(`retrieval answered embeddings of type ${batch.type} and dimension ${batch.dimension}`);
  }
  const more = encodeEmbeddings(rows, dimension, batch.type);
  return {
    type: batch.type,
    dimension,
    values: joined(batch.values, more.values),
    scales: joined(batch.scales, more.scales),
  };
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (b.length === 0) return a;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

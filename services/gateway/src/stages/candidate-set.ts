import {
  type AttributeValue as AttributeMessage,
  type EmbeddingBatch,
  type retrieval,
  unpackFloat32,
  unpackUint32,
} from '@onepass/contracts';
import { type EmbeddingBatchFields, embeddingRows } from '@onepass/embeddings';
import { OnepassError } from '@onepass/errors';
import type { Budget } from '@onepass/pages';
import type { ServedRelease } from '../served-release.js';

/** Who brought an item: onepass.gateway.v1.Source. */
export interface SourceFields {
  readonly name: string;
  readonly outcome: string;
  readonly rank: number;
  readonly score: number;
}

/** Candidates as columns of equal length, in the order they were brought. Objects are made for items of the page only. */
export interface CandidateSet {
  readonly itemIds: readonly string[];
  /** As they came: the gateway does not decode them. */
  readonly embeddings: EmbeddingBatchFields;
  readonly scores: ArrayLike<number>;
  sourcesOf(candidate: number): SourceFields[];
  valuesOf(candidate: number, attribute: string): readonly string[];
}

/** Retrieval's answer, checked in its shape against the release's. `budgets` are those of its queries; undefined for a popular list. */
export function fromRetrieval(
  candidates: retrieval.Candidates,
  budgets: readonly Budget[] | undefined,
  attributes: readonly string[],
  { itemIds: known, model }: Pick<ServedRelease, 'itemIds' | 'model'>,
): CandidateSet {
  const itemIds = Array.from(unpackUint32(candidates.itemRows, 'item_rows'), (row) => {
    const id = known[row];
    if (id === undefined) throw defect(`retrieval answered ${row}, which is not a row of the release`);
    return id;
  });
  const scores = unpackFloat32(candidates.innerProducts, 'inner_products');
  const ranks = unpackUint32(candidates.queryRanks, 'query_ranks');
  const queryRows = unpackUint32(candidates.queryRows, 'query_rows');
  const count = itemIds.length;
  const columns: [string, number, number][] = [
    ['inner_products', scores.length, count],
    ['query_ranks', ranks.length, count],
    ['query_rows', queryRows.length, budgets ? count : queryRows.length],
    ['attributes', candidates.attributes.length, attributes.length > 0 ? count : candidates.attributes.length],
  ];
  const uneven = columns.find(([, length, expected]) => length !== expected);
  if (uneven) throw defect(`retrieval answered ${count} candidates with ${uneven[1]} ${uneven[0]}`);
  if (!scores.every(Number.isFinite)) throw defect('retrieval answered a score that is not a number');
  return {
    itemIds,
    embeddings: embeddingsOf(candidates.embeddings, count, model.itemDimension),
    scores,
    sourcesOf: (i) => {
      const [query, rank, score] = [queryRows[i] as number, ranks[i] as number, scores[i] as number];
      return [sourceOf(budgets, { query, rank, score })];
    },
    valuesOf: (i, attribute) => attributeTexts(candidates.attributes[i]?.values[attribute]),
  };
}

/** Retrieval as a source. @param budgets undefined for a popular list */
export function sourceOf(
  budgets: readonly Budget[] | undefined,
  { query, rank, score }: { readonly query: number; readonly rank: number; readonly score: number },
): SourceFields {
  return { name: budgets ? 'retrieval' : 'popular', outcome: budgets?.[query]?.outcome ?? '', rank, score };
}

function embeddingsOf(batch: EmbeddingBatch | undefined, count: number, dimension: number): EmbeddingBatchFields {
  if (count === 0) return { values: new Uint8Array(0), type: 0, dimension: 0, scales: new Uint8Array(0) };
  if (batch !== undefined && embeddingRows(batch, 'candidates.embeddings', dimension) === count) return batch;
  throw defect(`retrieval answered ${count} candidates without as many embeddings`);
}

/** An attribute's values as texts, for rules that compare them. */
export function attributeTexts(value: AttributeMessage | undefined): readonly string[] {
  const kind = value?.kind;
  switch (kind?.case) {
    case 'text':
      return [kind.value];
    case 'texts':
      return kind.value.values;
    case 'number':
      return [String(kind.value)];
    default:
      return [];
  }
}

/** Something a stage answered that its contract rules out. The sentence is for the log. */
export function defect(sentence: string): OnepassError {
  return new OnepassError({ kind: 'internal' }, sentence);
}

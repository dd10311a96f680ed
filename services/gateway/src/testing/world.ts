import { EmbeddingType } from '@onepass/contracts';
import { decodeEmbeddings, encodeEmbeddings } from '@onepass/embeddings';
import { Vocabulary } from '@onepass/release';
import type { ServedRelease } from '../served-release.js';

/** A hundred items of which everything can be said in one line: what the stage servers of the tests answer about. */

export const RELEASE_ID = 'r-0123456789ab';
export const DIMENSION = 4;
const COUNT = 100;
const TOPICS = ['sea', 'wood', 'town', 'sky', 'desert'];

export interface WorldItem {
  readonly id: string;
  readonly topic: string;
  readonly price: number;
  readonly embedding: Float32Array;
}

export const ITEMS: readonly WorldItem[] = Array.from({ length: COUNT }, (_, i) => ({
  id: itemId(i),
  topic: TOPICS[i % TOPICS.length]!,
  price: i,
  embedding: Float32Array.of(i / 128, 1, 0, 0),
}));

export function itemId(i: number): string {
  return `item-${String(i).padStart(3, '0')}`;
}

export const itemOf = (id: string) => ITEMS.find((item) => item.id === id);

/** Rows as retrieval answers them. */
export function embeddingsOf(items: readonly WorldItem[]) {
  const rows = new Float32Array(items.length * DIMENSION);
  for (const [i, item] of items.entries()) rows.set(item.embedding, i * DIMENSION);
  return encodeEmbeddings(rows, DIMENSION, EmbeddingType.F16);
}

const actions = [
  { name: 'click', negative: false, utilityWeight: 1 },
  { name: 'hide', negative: true, utilityWeight: -1 },
];
const vocabulary = { actions, surfaces: ['home', 'search', 'related'], requestFeatures: ['hour'] };
const half = [
  { outcome: 'click', share: 0.5, offsetMs: 0 },
  { outcome: 'any', share: 0.5, offsetMs: 3_600_000 },
];

/** Popular items of every surface: the last ones first. */
export const POPULAR: readonly WorldItem[] = ITEMS.slice(40).reverse();

export const RELEASE: ServedRelease = {
  id: RELEASE_ID,
  vocabulary: new Vocabulary({ vocabulary, budgets: { home: half, search: half, related: half } }),
  actions,
  model: {
    width: 8,
    layers: 1,
    heads: 1,
    window: 16,
    contextRows: 8,
    maxCandidates: 300,
    itemDimension: DIMENSION,
    upstreamDimension: DIMENSION,
    precision: 'fp32',
  },
  hasQueryTower: true,
  itemIds: ITEMS.map((item) => item.id),
  rows: new Map(ITEMS.map((item, row) => [item.id, row])),
  attributes: new Map([
    ['topic', 'text'],
    ['price', 'number'],
  ]),
  popular: new Map(
    vocabulary.surfaces.map((surface) => [
      surface,
      {
        itemIds: POPULAR.map((item) => item.id),
        embeddings: new Uint16Array(embeddingsOf(POPULAR).values.slice().buffer),
        attributes: POPULAR.map(({ topic, price }) => ({ topic, price })),
      },
    ]),
  ),
};

/** P(click) = the first number of the embedding, P(hide) = the third, so that later items rank first. */
export function probabilitiesOf(batch: Parameters<typeof decodeEmbeddings>[0]): Float32Array {
  const { rows, values } = decodeEmbeddings(batch, 'candidates', DIMENSION);
  return Float32Array.from({ length: rows * 2 }, (_, i) => values[(i >> 1) * DIMENSION + (i % 2) * 2]!);
}

import type { KvPoolOptions, KvShape, KvTensors } from '@onepass/kv';

/** The pool that is broken on purpose: many people, memory for a tenth of them, histories of one page to nine. */
export const POOL = {
  shape: { layers: 2, width: 32, capacity: 264 },
  slots: 1_024,
  bytes: 8 * 2 ** 20,
  people: 3_000,
  releaseId: 'r-kv-drill',
  /** Short, so that slots change hands all the time; some readers take longer. */
  restMs: 5,
} as const satisfies Pick<KvPoolOptions, 'slots' | 'bytes' | 'releaseId' | 'restMs'> & {
  shape: KvShape;
  people: number;
};

/** Of the writer's run number so many. */
export const poolIdOf = (run: number) => `kv-drill-${run}`;

export const personKeyOf = (person: number) => person.toString(16).padStart(32, '0');

/** One tenancy: who has the slot under which generation of which writer's pool. */
export interface Tenancy {
  readonly run: number;
  readonly person: number;
  readonly generation: number;
}

/** Prime, and small enough that every number made of a stamp is exact in float32. */
const STAMPS = 4_194_301;
const BY_TOKEN = 31;
const BY_LAYER = 7;
const OF_VALUES = 3;

/** What a tenancy's numbers are made of: of two tenancies of one slot, never the same. */
export function stampOf({ run, person, generation }: Tenancy): number {
  return (person + POOL.people * (generation / 2 + 977 * run)) % STAMPS;
}

/** Writes tokens `from` to `to` of a tenancy: whole numbers below 2^24, another one for each token, layer, tensor and place. */
export function writeTokens({ keys, values }: KvTensors, stamp: number, from: number, to: number): void {
  const { width, layers } = POOL.shape;
  for (let layer = 0; layer < layers; layer++) {
    const [k, v] = [keys[layer]!, values[layer]!];
    for (let token = from; token < to; token++) {
      const first = stamp + BY_TOKEN * token + BY_LAYER * layer;
      const at = token * width;
      for (let j = 0; j < width; j++) {
        k[at + j] = first + j;
        v[at + j] = first + j + OF_VALUES;
      }
    }
  }
}

/** The query's: whole numbers, so that sums of products are exact in float64 in any order. */
const KEY_WEIGHTS = Float64Array.from({ length: POOL.shape.width }, (_, j) => 1 + ((j * 5) % 13));
const VALUE_WEIGHTS = Float64Array.from({ length: POOL.shape.width }, (_, j) => 1 + ((j * 11) % 17));

/** Dot products of the query with every K and V number, added up. */
export function scoreOf({ keys, values }: KvTensors): number {
  let score = 0;
  for (const tensor of keys) score += product(tensor, KEY_WEIGHTS);
  for (const tensor of values) score += product(tensor, VALUE_WEIGHTS);
  return score;
}

function product(tensor: Float32Array, weights: Float64Array): number {
  const { length: width } = weights;
  let sum = 0;
  for (let at = 0; at < tensor.length; at += width) {
    for (let j = 0; j < width; j++) sum += tensor[at + j]! * weights[j]!;
  }
  return sum;
}

/** What `scoreOf` must give for a tenancy's first `length` tokens, without a look at them. */
export function rightScore(stamp: number, length: number): number {
  const { layers } = POOL.shape;
  const tokens = layers * length;
  const byPlace = KEY_WEIGHTS.reduce((sum, weight, j) => sum + j * (weight + VALUE_WEIGHTS[j]!), 0);
  const ofValues = VALUE_WEIGHTS.reduce((sum, weight) => sum + weight, 0);
  const ofAll = KEY_WEIGHTS.reduce((sum, weight) => sum + weight, ofValues);
  const firsts = tokens * stamp + BY_TOKEN * layers * triangle(length - 1) + BY_LAYER * length * triangle(layers - 1);
  return ofAll * firsts + tokens * (byPlace + OF_VALUES * ofValues);
}

const triangle = (n: number) => (n * (n + 1)) / 2;

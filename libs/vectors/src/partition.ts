import { seededRandom } from './random.js';

export interface Partitioning {
  /** float32 [P, E], unit length. */
  readonly centroids: Float32Array;
  /** By row: its partition. */
  readonly assigned: Uint32Array;
}

const ROUNDS = 12;
/** Rows looked at per partition while centroids move; more does not move them differently. */
const SAMPLE_PER_PARTITION = 256;

/**
 * Spherical k-means (Dhillon and Modha 2001: unit vectors, nearest by inner product) with k-means++-like seeding by distance.
 * @param values [n, dimension] unit-length rows; n >= partitions
 */
export function partitionRows(values: Float32Array, dimension: number, partitions: number, seed = 1): Partitioning {
  const n = values.length / dimension;
  const random = seededRandom(seed);
  const sample = pickSample(n, Math.min(n, partitions * SAMPLE_PER_PARTITION), random);
  const centroids = seedCentroids({ values, dimension, sample, random }, partitions);
  for (let round = 0; round < ROUNDS; round++) moveCentroids(values, sample, centroids, dimension);
  const assigned = Uint32Array.from({ length: n }, (_, row) => nearest(values, row, centroids, dimension));
  return { centroids, assigned };
}

function pickSample(n: number, size: number, random: () => number): Uint32Array {
  const rows = Uint32Array.from({ length: n }, (_, row) => row);
  for (let i = 0; i < size; i++) {
    const j = i + Math.floor(random() * (n - i));
    [rows[i], rows[j]] = [rows[j]!, rows[i]!];
  }
  return rows.slice(0, size);
}

interface Sampled {
  readonly values: Float32Array;
  readonly dimension: number;
  readonly sample: Uint32Array;
  readonly random: () => number;
}

/** Each next centroid is a sampled row, likelier the farther it is from those chosen (Arthur and Vassilvitskii 2007). */
function seedCentroids({ values, dimension, sample, random }: Sampled, partitions: number): Float32Array {
  const centroids = new Float32Array(partitions * dimension);
  const distance = new Float64Array(sample.length).fill(2);
  for (let p = 0; p < partitions; p++) {
    const total = distance.reduce((sum, d) => sum + d, 0);
    let left = random() * total;
    let chosen = 0;
    while (chosen < sample.length - 1 && left >= distance[chosen]!) left -= distance[chosen++]!;
    const at = sample[chosen]! * dimension;
    centroids.set(values.subarray(at, at + dimension), p * dimension);
    for (let i = 0; i < sample.length; i++) {
      distance[i] = Math.min(distance[i]!, Math.max(0, 1 - product(values, sample[i]!, centroids, p, dimension)));
    }
  }
  return centroids;
}

function moveCentroids(values: Float32Array, sample: Uint32Array, centroids: Float32Array, dimension: number): void {
  const sums = new Float64Array(centroids.length);
  for (const row of sample) {
    const to = nearest(values, row, centroids, dimension) * dimension;
    for (let i = 0; i < dimension; i++) sums[to + i] = sums[to + i]! + values[row * dimension + i]!;
  }
  for (let at = 0; at < sums.length; at += dimension) {
    const sum = sums.subarray(at, at + dimension);
    const norm = Math.hypot(...sum);
    // A partition that nothing is nearest to, or whose rows cancel out, stays where it was.
    if (norm > 1e-9) for (let i = 0; i < dimension; i++) centroids[at + i] = sum[i]! / norm;
  }
}

function nearest(values: Float32Array, row: number, centroids: Float32Array, dimension: number): number {
  let best = 0;
  let highest = -Infinity;
  for (let p = 0; p * dimension < centroids.length; p++) {
    const score = product(values, row, centroids, p, dimension);
    if (score > highest) [best, highest] = [p, score];
  }
  return best;
}

function product(a: Float32Array, rowA: number, b: Float32Array, rowB: number, dimension: number): number {
  let sum = 0;
  for (let i = 0, x = rowA * dimension, y = rowB * dimension; i < dimension; i++) sum += a[x + i]! * b[y + i]!;
  return sum;
}

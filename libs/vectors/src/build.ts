import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { quantiseI8 } from '@onepass/embeddings';
import { startupError } from '@onepass/errors';
import { finishRelease, type IndexSection, type Items, loadDraft, openItems, writeWhole } from '@onepass/release';
import { partitionRows } from './partition.js';
import { chooseProbes } from './probes.js';
import { encodeSegment, type Segment } from './segment.js';
import { MOST_ROWS } from './top.js';

export interface BuildOptions {
  readonly shards: number;
  /** Partitions a shard; undefined = by its number of items. */
  readonly partitions?: number | undefined;
  /** One line for each step. */
  readonly progress: (line: string) => void;
}

const INDEX_FOLDER = 'index';
const MOST_PARTITIONS = 4096;

/**
 * Writes the index segments of a draft and finishes it into a release.
 * @returns the release's id
 * @throws OnepassError `startup`, one sentence
 */
export async function buildRelease(directory: string, options: BuildOptions): Promise<string> {
  const { shards, partitions, progress } = options;
  const draft = await loadDraft(directory);
  const items = await openItems(draft);
  progress(`${items.count} items of dimension ${items.dimension}`);
  const segments = shardRows(items.ids, shards).map((rows, shard) => {
    if (rows.length === 0) throw startupError(`shard ${shard} of ${shards} would have no items: use fewer shards`);
    if (rows.length > MOST_ROWS) {
      throw startupError(`shard ${shard} of ${shards} would have more than ${MOST_ROWS} items: use more shards`);
    }
    const segment = buildSegment(items, rows, partitions ?? defaultPartitions(rows.length));
    progress(`shard ${shard}: ${rows.length} items in ${segment.offsets.length - 1} partitions`);
    return segment;
  });
  const probes = chooseProbes(segments, items);
  progress(`probing ${probes} partitions a shard`);
  const index: IndexSection = { kind: 'partitioned', shards: [], probes };
  await rm(join(directory, INDEX_FOLDER), { recursive: true, force: true });
  await mkdir(join(directory, INDEX_FOLDER));
  for (const [shard, segment] of segments.entries()) {
    const file = `${INDEX_FOLDER}/shard-${shard}.seg`;
    await writeWhole(join(directory, file), encodeSegment(segment));
    index.shards.push({ file, items: segment.tableRows.length, partitions: segment.offsets.length - 1 });
  }
  const id = await finishRelease(draft, index);
  progress(`${id} is finished in ${directory}`);
  return id;
}

/** Rows of each shard. An item's shard depends on its id and the number of shards alone. */
export function shardRows(ids: readonly string[], shards: number): number[][] {
  const rows: number[][] = Array.from({ length: shards }, () => []);
  for (const [row, id] of ids.entries()) {
    rows[createHash('sha256').update(id).digest().readUInt32LE(0) % shards]!.push(row);
  }
  return rows;
}

/** About a third of the square root, as a power of two: partitions of some hundred rows, and few enough to compare all centroids. */
function defaultPartitions(rows: number): number {
  return Math.min(MOST_PARTITIONS, 2 ** Math.max(0, Math.round(Math.log2(Math.sqrt(rows) / 3))));
}

/** @param partitions at most as many as `rows` */
export function buildSegment(items: Items, rows: readonly number[], partitions: number): Segment {
  if (partitions > rows.length) {
    throw startupError(`${partitions} partitions are more than the ${rows.length} items of a shard`);
  }
  const { dimension } = items;
  const values = new Float32Array(rows.length * dimension);
  for (const [i, row] of rows.entries()) {
    items.embedding(row, values.subarray(i * dimension, (i + 1) * dimension));
  }
  const { centroids, assigned } = partitionRows(values, dimension, partitions);
  const order = Uint32Array.from(rows.keys()).sort((a, b) => assigned[a]! - assigned[b]! || a - b);
  const offsets = new Uint32Array(partitions + 1);
  for (const partition of assigned) offsets[partition + 1]!++;
  for (let p = 0; p < partitions; p++) offsets[p + 1] = offsets[p + 1]! + offsets[p]!;
  const { mean, steps, bytes } = quantiseRows(values, dimension);
  const sorted = new Int8Array(values.length);
  for (const [position, i] of order.entries()) {
    sorted.set(bytes.subarray(i * dimension, (i + 1) * dimension), position * dimension);
  }
  return { dimension, mean, steps, centroids, offsets, tableRows: order.map((i) => rows[i]!), rows: sorted };
}

/** int8 around the mean, each dimension over its own range. */
function quantiseRows(values: Float32Array, dimension: number) {
  const mean = new Float32Array(dimension);
  const steps = new Float32Array(dimension);
  const bytes = new Int8Array(values.length);
  const column = new Float32Array(values.length / dimension);
  const quantised = new Int8Array(column.length);
  for (let i = 0; i < dimension; i++) {
    for (let row = 0; row < column.length; row++) column[row] = values[row * dimension + i]!;
    mean[i] = column.reduce((sum, value) => sum + value, 0) / column.length;
    for (let row = 0; row < column.length; row++) column[row] = column[row]! - mean[i]!;
    steps[i] = quantiseI8(column, quantised);
    for (let row = 0; row < column.length; row++) bytes[row * dimension + i] = quantised[row]!;
  }
  return { mean, steps, bytes };
}

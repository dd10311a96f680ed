import { createHash } from 'node:crypto';
import { startupError } from '@onepass/errors';

/**
 * An index segment: the items of one shard as int8 rows, partition after partition.
 *
 * Numbers are quantised around the items' mean and with a step for each dimension: number ~ mean + byte x step. For one query
 * q the inner product is q . mean, the same for every row, plus (q x step) . bytes; so bytes of `q x step` rank rows as q does, and
 * items that lie close together (as those of a young model do) still get all of the int8 range.
 *
 * File, little-endian: a header of 32 bytes (magic, version, rows n, dimension E, partitions P, zeros), mean float32 [E], steps
 * float32 [E], centroids float32 [P, E], offsets uint32 [P + 1], row numbers uint32 [n], rows int8 [n, E], SHA-256 of all before.
 */
export interface Segment {
  readonly dimension: number;
  /** float32 [E]. */
  readonly mean: Float32Array;
  /** float32 [E]; 0 where all items have the same number. */
  readonly steps: Float32Array;
  /** float32 [P, E]. */
  readonly centroids: Float32Array;
  /** Partition p holds positions offsets[p] up to offsets[p + 1]. */
  readonly offsets: Uint32Array;
  /** By position: the row in the release's item table. */
  readonly tableRows: Uint32Array;
  /** int8 [n, E] by position; begins its buffer. */
  readonly rows: Int8Array;
}

const MAGIC = 0x4753504f; // "OPSG"
const VERSION = 1;
const HEADER_BYTES = 32;
const CHECKSUM_BYTES = 32;

export function encodeSegment(segment: Segment): Uint8Array {
  const { dimension, mean, steps, centroids, offsets, tableRows, rows } = segment;
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  [MAGIC, VERSION, tableRows.length, dimension, offsets.length - 1].forEach((value, i) => {
    header.setUint32(4 * i, value, true);
  });
  const sections = [header, mean, steps, centroids, offsets, tableRows, rows];
  const hash = createHash('sha256');
  for (const section of sections) hash.update(section);
  return Buffer.concat([...sections.map((s) => new Uint8Array(s.buffer, s.byteOffset, s.byteLength)), hash.digest()]);
}

/** @param where begins the sentence of a refusal. @throws OnepassError `startup` */
export function decodeSegment(bytes: Uint8Array, where: string): Segment {
  if (bytes.length < HEADER_BYTES + CHECKSUM_BYTES) throw startupError(`${where} is too short to be a segment`);
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const [magic, version, count, dimension, partitions] = Array.from({ length: 5 }, (_, i) =>
    header.getUint32(4 * i, true),
  ) as [number, number, number, number, number];
  if (magic !== MAGIC) throw startupError(`${where} is not a segment`);
  if (version !== VERSION) throw startupError(`${where} has segment version ${version}, this version reads ${VERSION}`);
  const vector = dimension * 4;
  const lengths = [
    HEADER_BYTES,
    vector,
    vector,
    partitions * vector,
    (partitions + 1) * 4,
    count * 4,
    count * dimension,
  ];
  const end = lengths.reduce((sum, length) => sum + length, 0);
  if (bytes.length !== end + CHECKSUM_BYTES) {
    throw startupError(`${where} has ${bytes.length} bytes, its header says ${end + CHECKSUM_BYTES}`);
  }
  const sum = createHash('sha256').update(bytes.subarray(0, end)).digest();
  if (!sum.equals(bytes.subarray(end))) throw startupError(`${where} does not have its own checksum: it is damaged`);
  let at = 0;
  const [, mean, steps, centroids, offsets, tableRows, rows] = lengths.map((length) => {
    at += length;
    return copyOf(bytes, at - length, length);
  }) as [ArrayBuffer, ArrayBuffer, ArrayBuffer, ArrayBuffer, ArrayBuffer, ArrayBuffer, ArrayBuffer];
  const segment: Segment = {
    dimension,
    mean: new Float32Array(mean),
    steps: new Float32Array(steps),
    centroids: new Float32Array(centroids),
    offsets: new Uint32Array(offsets),
    tableRows: new Uint32Array(tableRows),
    rows: new Int8Array(rows),
  };
  checkOffsets(segment, where);
  return segment;
}

/** Sections get buffers of their own: typed arrays need alignment, usearch a view that begins its buffer. */
function copyOf(bytes: Uint8Array, at: number, length: number): ArrayBuffer {
  const copy = new ArrayBuffer(length);
  new Uint8Array(copy).set(bytes.subarray(at, at + length));
  return copy;
}

function checkOffsets({ offsets, tableRows }: Segment, where: string): void {
  const rising = offsets.every((offset, i) => i === 0 || offset >= offsets[i - 1]!);
  if (offsets[0] !== 0 || offsets.at(-1) !== tableRows.length || !rising) {
    throw startupError(`${where} has partition offsets that do not divide its rows`);
  }
}

import { alignedCopy, type Embedding, type EmbeddingBatch, EmbeddingType } from '@onepass/contracts';
import { invalidArgument } from '@onepass/errors';
import { narrowF16Row, widenF16 } from './float16.js';
import { quantiseI8 } from './int8.js';

/** Embeddings as numbers: `values` is row-major [rows, dimension]. */
export interface EmbeddingRows {
  readonly rows: number;
  readonly dimension: number;
  readonly values: Float32Array;
}

/**
 * Largest size of an embedding's number: float16's. Those of items and queries are of unit length; what a model makes of much larger ones overflows, and keys
 * and values that are no numbers would stay with a person.
 */
export const LARGEST = 65_504;

/** What `encodeEmbeddings` makes: the fields of an EmbeddingBatch. */
export type EmbeddingBatchFields = Pick<EmbeddingBatch, 'values' | 'type' | 'dimension' | 'scales'>;
/** What `encodeEmbedding` makes: the fields of an Embedding. */
export type EmbeddingFields = Pick<Embedding, 'values' | 'type' | 'dimension' | 'scale'>;

const BYTES_PER_NUMBER: Readonly<Record<EmbeddingType, number>> = {
  [EmbeddingType.UNSPECIFIED]: 0,
  [EmbeddingType.F32]: 4,
  [EmbeddingType.F16]: 2,
  [EmbeddingType.I8]: 1,
};
const NO_BYTES = new Uint8Array(0);

/**
 * The numbers of a batch. Absent or empty = no rows, whatever the rest says.
 * @param field where the batch stands in the request, such as `queries`
 * @throws OnepassError `invalid_argument` naming `field` or a field of it: type, dimension, byte length, scales, not finite, beyond `LARGEST`
 */
export function decodeEmbeddings(
  batch: EmbeddingBatchFields | undefined,
  field: string,
  dimension: number,
): EmbeddingRows {
  if (batch === undefined || batch.values.length === 0) return { rows: 0, dimension, values: new Float32Array(0) };
  const rows = embeddingRows(batch, field, dimension);
  const scales = batch.type === EmbeddingType.I8 ? decodeScales(batch.scales, `${field}.scales`, rows) : undefined;
  const values = decodeNumbers(batch.values, batch.type);
  if (scales) scaleRows(values, scales, dimension);
  checkSize(values, field, dimension);
  return { rows, dimension, values };
}

/** One embedding [dimension]. Errors as `decodeEmbeddings`. */
export function decodeEmbedding(embedding: EmbeddingFields, field: string, dimension: number): Float32Array {
  const rows = embeddingRows(embedding, field, dimension);
  if (rows !== 1) {
    throw invalidArgument(`${field}.values`, `must hold one embedding of dimension ${dimension}, not ${rows}`);
  }
  const values = decodeNumbers(embedding.values, embedding.type);
  if (embedding.type === EmbeddingType.I8) {
    checkScale(embedding.scale, `${field}.scale`);
    scaleRows(values, Float32Array.of(embedding.scale), dimension);
  }
  checkSize(values, field, dimension);
  return values;
}

/**
 * The number of rows, without decoding them.
 * @throws OnepassError `invalid_argument` naming `field` when type, dimension or byte length is wrong
 */
export function embeddingRows(
  { values, type, dimension }: Pick<EmbeddingBatchFields, 'values' | 'type' | 'dimension'>,
  field: string,
  expected: number,
): number {
  // An enum of a newer client arrives as a number we have no name for.
  const width = BYTES_PER_NUMBER[type] ?? 0;
  if (width === 0) throw invalidArgument(`${field}.type`, 'must be F32, F16 or I8');
  if (dimension !== expected) throw invalidArgument(`${field}.dimension`, `must be ${expected}, not ${dimension}`);
  const rowBytes = dimension * width;
  if (values.length % rowBytes !== 0) {
    throw invalidArgument(
      `${field}.values`,
      `must be whole rows of ${rowBytes} bytes (${dimension} x ${width}), not ${values.length} bytes`,
    );
  }
  return values.length / rowBytes;
}

function decodeScales(bytes: Uint8Array, field: string, rows: number): Float32Array {
  if (bytes.length !== rows * 4) {
    throw invalidArgument(field, `must hold one float32 for each of ${rows} rows, not ${bytes.length} bytes`);
  }
  const scales = new Float32Array(alignedCopy(bytes));
  for (const scale of scales) checkScale(scale, field);
  return scales;
}

function checkScale(scale: number, field: string): void {
  if (!Number.isFinite(scale) || scale < 0) throw invalidArgument(field, 'must be finite and not negative');
}

function decodeNumbers(bytes: Uint8Array, type: EmbeddingType): Float32Array {
  if (type === EmbeddingType.F32) return new Float32Array(alignedCopy(bytes));
  if (type === EmbeddingType.I8) return Float32Array.from(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length));
  const out = new Float32Array(bytes.length / 2);
  for (let i = 0, at = 0; i < out.length; i++, at += 2) out[i] = widenF16(bytes[at]! | (bytes[at + 1]! << 8));
  return out;
}

function scaleRows(values: Float32Array, scales: Float32Array, dimension: number): void {
  for (let row = 0, at = 0; row < scales.length; row++) {
    const scale = scales[row]!;
    for (let end = at + dimension; at < end; at++) values[at] = values[at]! * scale;
  }
}

function checkSize(values: Float32Array, field: string, dimension: number): void {
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (size <= LARGEST) continue;
    const what = Number.isFinite(size) ? `beyond ${LARGEST}` : 'that is not finite';
    throw invalidArgument(`${field}.values`, `row ${Math.floor(i / dimension)} holds a number ${what}`);
  }
}

/**
 * A batch of `values` (row-major, whole rows of `dimension`) in the type asked for.
 * F32 shares memory with `values`. Numbers beyond the type's range become infinite, which every decoder refuses.
 */
export function encodeEmbeddings(
  values: Float32Array,
  dimension: number,
  type: EmbeddingType.F32 | EmbeddingType.F16 | EmbeddingType.I8,
): EmbeddingBatchFields {
  if (type === EmbeddingType.F32) return { values: bytesOf(values), type, dimension, scales: NO_BYTES };
  if (type === EmbeddingType.F16) {
    const narrow = narrowF16Row(values, new Uint16Array(values.length));
    return { values: bytesOf(narrow), type, dimension, scales: NO_BYTES };
  }
  const rows = values.length / dimension;
  const quantised = new Int8Array(values.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const [start, end] = [row * dimension, (row + 1) * dimension];
    scales[row] = quantiseI8(values.subarray(start, end), quantised.subarray(start, end));
  }
  return { values: bytesOf(quantised), type, dimension, scales: bytesOf(scales) };
}

/** One embedding; see `encodeEmbeddings`. */
export function encodeEmbedding(
  values: Float32Array,
  type: EmbeddingType.F32 | EmbeddingType.F16 | EmbeddingType.I8,
): EmbeddingFields {
  const { scales, ...fields } = encodeEmbeddings(values, values.length, type);
  return { ...fields, scale: scales.length === 0 ? 0 : new Float32Array(scales.buffer)[0]! };
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

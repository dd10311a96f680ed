import { invalidArgument } from '@onepass/errors';

/*
 * Columns of numbers as the wire has them: little-endian, one after the other, in a `bytes` field. A repeated field of the same numbers is
 * written and read one call a number, which a page of hundreds of candidates feels. Onepass's platforms are little-endian.
 */

/** Four bytes a number. Shares memory with `values`. */
export function packColumn({ buffer, byteOffset, byteLength }: Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** @throws OnepassError naming `field` */
export function unpackUint32(bytes: Uint8Array, field: string): Uint32Array {
  return new Uint32Array(aligned(bytes, field));
}

/** @throws OnepassError naming `field` */
export function unpackFloat32(bytes: Uint8Array, field: string): Float32Array {
  return new Float32Array(aligned(bytes, field));
}

/** How many numbers are packed in `bytes`. */
export function columnLength(bytes: Uint8Array): number {
  return bytes.length / 4;
}

function aligned(bytes: Uint8Array, field: string): ArrayBuffer {
  if (bytes.length % 4 !== 0)
    throw invalidArgument(field, `${bytes.length} bytes are not a whole number of 4-byte numbers`);
  return alignedCopy(bytes);
}

/** Bytes of a message lie anywhere: a copy of them where numbers may lie. */
export function alignedCopy(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}

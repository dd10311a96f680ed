import { invalidArgument } from '@onepass/errors';

/** Rows of a release's item table as the wire has them: little-endian uint32 each. */
export function packItemRows(rows: Iterable<number>): Uint8Array {
  return new Uint8Array(Uint32Array.from(rows).buffer);
}

/** Bytes of a message lie anywhere, so they are copied to where numbers may lie. @throws OnepassError naming `field`. */
export function unpackItemRows(bytes: Uint8Array, field: string): Uint32Array {
  if (bytes.length % 4 !== 0) throw invalidArgument(field, `${bytes.length} bytes are not a whole number of uint32`);
  return new Uint32Array(Uint8Array.from(bytes).buffer);
}

/** How many rows are packed in `bytes`. */
export function countItemRows(bytes: Uint8Array): number {
  return bytes.length / 4;
}

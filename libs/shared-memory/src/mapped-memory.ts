import { mapAnonymous } from './mapping.js';

/**
 * Memory of this process outside JavaScript's heap, at an address that no collector moves or frees: typed arrays over `buffer` can be handed to
 * native calls.
 */
export interface MappedMemory {
  readonly bytes: number;
  readonly buffer: ArrayBuffer;
  /**
   * Unmaps. Nothing may use `buffer`, a view on it or a tensor over it afterwards: such an access ends the process (Node 20 cannot
   * detach mapped buffers). Whoever closes must have seen the last run over it return. A second close does nothing; without a
   * close the mapping lives as long as the process.
   */
  close(): void;
}

/** `bytes` zeros for this process alone, at most 4 GiB. @throws OnepassError `startup` when the kernel refuses. */
export function allocateMapped(bytes: number): MappedMemory {
  const mapping = mapAnonymous(bytes);
  return { bytes, buffer: mapping.view(0, bytes), close: mapping.unmap };
}

/** The fake for tests of code that needs no native address: the same interface over JavaScript's heap. */
export function heapMemory(bytes: number): MappedMemory {
  return { bytes, buffer: new ArrayBuffer(bytes), close() {} };
}

import { kvMiss, releaseMismatch, startupError, unavailable } from '@onepass/errors';
import type { SharedMemory } from '@onepass/shared-memory';
import { type KvShape, type KvTensors, PAGE_BYTES, type PoolLayout, slotTensors } from './layout.js';
import { poolEpoch, readPoolHeader } from './pool-header.js';
import type { KvReference } from './reference.js';
import { type CheckedPool, checkGeneration, checkReference } from './reference-check.js';
import { SlotHeaders } from './slot-header.js';

/** What a reader expects of a pool. */
export interface ReaderExpectation {
  readonly shape: KvShape;
  readonly releaseId: string;
}

/**
 * Reads slots in place, while another process writes. `read` before and `verify` after the use: KV that changed in between is a miss,
 * never a wrong number. Memory may be mapped read-only.
 */
export class KvPoolReader {
  readonly poolId: string;
  readonly #memory: SharedMemory;
  readonly #layout: PoolLayout;
  readonly #epoch: bigint;
  readonly #poolHeader: ArrayBuffer;
  readonly #checked: CheckedPool;
  readonly #tensors: (KvTensors | undefined)[] = [];
  readonly #fence = new Int32Array(1);

  private constructor(
    memory: SharedMemory,
    layout: PoolLayout,
    identity: { poolId: string; releaseId: string },
    epoch: bigint,
  ) {
    this.#memory = memory;
    this.#layout = layout;
    this.#epoch = epoch;
    this.#poolHeader = memory.view(0, layout.headerBytes);
    const headers = new SlotHeaders(this.#poolHeader, layout);
    this.#checked = { ...identity, slots: layout.slots, capacity: layout.shape.capacity, headers };
    this.poolId = identity.poolId;
  }

  /**
   * @throws OnepassError `unavailable` when the writer has not made it yet; `release_mismatch` when it is of another release; `startup`
   * when its shape or size is not the release's.
   */
  static open(memory: SharedMemory, expected: ReaderExpectation): KvPoolReader {
    const header = memory.bytes < PAGE_BYTES ? undefined : readPoolHeader(memory.view(0, PAGE_BYTES));
    if (header === undefined) throw unavailable('the KV pool is not ready: its writer has not finished making it');
    const { layout, identity, epoch } = header;
    if (identity.releaseId !== expected.releaseId)
      throw releaseMismatch(expected.releaseId, identity.releaseId, 'the KV pool');
    const { layers, width, capacity } = layout.shape;
    const { shape } = expected;
    if (layers !== shape.layers || width !== shape.width || capacity !== shape.capacity) {
      throw startupError(
        `the KV pool holds ${layers} layers of ${width} numbers for ${capacity} tokens, the release wants ${shape.layers} of ${shape.width} for ${shape.capacity}`,
      );
    }
    if (memory.bytes < layout.bytes) throw startupError(`the KV pool has ${memory.bytes} of its ${layout.bytes} bytes`);
    return new KvPoolReader(memory, layout, identity, epoch);
  }

  /**
   * The first `reference.length` tokens of K and V of every layer, [length x width] each, in place.
   * @throws OnepassError `kv_miss` saying why it is not there; `release_mismatch` when the reference is of another release.
   */
  read(reference: KvReference): KvTensors {
    checkReference(reference, this.#checked, () => this.verify(reference));
    return this.#prefix(reference.slot, reference.length);
  }

  /** After the use. @throws OnepassError `kv_miss` when what `read` gave may have changed meanwhile. */
  verify(reference: KvReference): void {
    // Keeps reads of the slot's data from moving behind the look at its generation; memory is read-only here, so on a word of our own.
    Atomics.exchange(this.#fence, 0, 0);
    checkGeneration(this.#checked.headers, reference);
    if (poolEpoch(this.#poolHeader) !== this.#epoch) throw kvMiss('the pool was made anew');
  }

  #prefix(slot: number, length: number): KvTensors {
    this.#tensors[slot] ??= slotTensors(this.#memory, this.#layout, slot);
    const { keys, values } = this.#tensors[slot];
    const end = length * this.#layout.shape.width;
    return { keys: keys.map((k) => k.subarray(0, end)), values: values.map((v) => v.subarray(0, end)) };
  }
}

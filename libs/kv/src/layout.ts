import { startupError } from '@onepass/errors';
import type { SharedMemory } from '@onepass/shared-memory';

/** The pool's file in the cell's directory. */
export const KV_POOL_FILE = 'kv.pool';

/** How much one slot holds. All numbers are float32. */
export interface KvShape {
  readonly layers: number;
  /** Numbers per token in each of K and V: heads x head size. */
  readonly width: number;
  /** Most tokens: the model's window and the context rows behind it. */
  readonly capacity: number;
}

/** The one shape of a release's KV, for its writer and its readers. `model` is the manifest's. */
export function kvShape(model: {
  readonly layers: number;
  readonly width: number;
  readonly window: number;
  readonly contextRows: number;
}): KvShape {
  return { layers: model.layers, width: model.width, capacity: model.window + model.contextRows };
}

/**
 * Where everything lies in a pool's memory, in bytes:
 *
 *     page 0       the pool's own header: magic, version, shape, slots, epoch, release id, pool id
 *     from 4096    one header of 128 bytes per slot (two cache lines, so that slots do not slow each other down)
 *     then         per slot: for each layer K [capacity, width], then V [capacity, width], token-major, each on a page boundary
 *
 * Of a slot's tensors only the first pages are there, as many of each as its tokens need.
 */
export interface PoolLayout {
  readonly shape: KvShape;
  readonly slots: number;
  /** The pool's own header and the slots'. */
  readonly headerBytes: number;
  readonly tensorStride: number;
  readonly slotStride: number;
  readonly bytes: number;
}

export const PAGE_BYTES = 4096;
export const SLOT_HEADER_BYTES = 128;

/** Pages that so many tokens take in each of a slot's tensors. */
export function pagesOf({ width }: KvShape, tokens: number): number {
  return Math.ceil((tokens * width * Float32Array.BYTES_PER_ELEMENT) / PAGE_BYTES);
}

/** Bytes of memory that so many tokens take in a slot. */
export function kvBytes(shape: KvShape, tokens: number): number {
  return 2 * shape.layers * pagesOf(shape, tokens) * PAGE_BYTES;
}

/** Bytes of addresses that a pool takes; how much of it is memory is the writer's `bytes`. @throws OnepassError `startup` on a shape that cannot be. */
export function poolBytes(shape: KvShape, slots: number): number {
  return poolLayout(shape, slots).bytes;
}

export function poolLayout(shape: KvShape, slots: number): PoolLayout {
  for (const [name, value] of Object.entries({ ...shape, slots })) {
    if (!Number.isSafeInteger(value) || value <= 0 || value > 0xffff_ffff) {
      throw startupError(`a KV pool with ${value} ${name} cannot be made`);
    }
  }
  const tensorStride = pagesOf(shape, shape.capacity) * PAGE_BYTES;
  const slotStride = 2 * shape.layers * tensorStride;
  const headerBytes = align(PAGE_BYTES + slots * SLOT_HEADER_BYTES, PAGE_BYTES);
  const bytes = headerBytes + slots * slotStride;
  if (!Number.isSafeInteger(bytes)) throw startupError(`a KV pool of ${bytes} bytes cannot be made`);
  return { shape, slots, headerBytes, tensorStride, slotStride, bytes };
}

/** One tensor per layer for K and for V. */
export interface KvTensors {
  readonly keys: readonly Float32Array[];
  readonly values: readonly Float32Array[];
}

/** A slot's tensors in place, whole capacity: beyond the pages that are there nobody may write. */
export function slotTensors(memory: SharedMemory, layout: PoolLayout, slot: number): KvTensors {
  const { layers, capacity, width } = layout.shape;
  const buffer = memory.view(slotAt(layout, slot), layout.slotStride);
  const tensor = (index: number) => new Float32Array(buffer, index * layout.tensorStride, capacity * width);
  return {
    keys: Array.from({ length: layers }, (_, layer) => tensor(2 * layer)),
    values: Array.from({ length: layers }, (_, layer) => tensor(2 * layer + 1)),
  };
}

/** Where in the memory each of a slot's tensors begins. */
export function tensorsAt(layout: PoolLayout, slot: number): number[] {
  const at = slotAt(layout, slot);
  return Array.from({ length: 2 * layout.shape.layers }, (_, index) => at + index * layout.tensorStride);
}

function slotAt({ headerBytes, slotStride }: PoolLayout, slot: number): number {
  return headerBytes + slot * slotStride;
}

function align(bytes: number, to: number): number {
  return Math.ceil(bytes / to) * to;
}

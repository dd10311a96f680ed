import { startupError } from '@onepass/errors';

/** The pool's file in the cell's directory. */
export const KV_POOL_FILE = 'kv.pool';

/** How much one slot holds. All numbers are float32. */
export interface KvShape {
  readonly layers: number;
  /** Numbers per token in each of K and V: heads x head size. */
  readonly width: number;
  /** Tokens: the model's window and the context rows behind it. */
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
 *     then         per slot, on page boundaries: for each layer K [capacity, width], then V [capacity, width], token-major,
 *                  each on 64 bytes
 */
export interface PoolLayout {
  readonly shape: KvShape;
  readonly slots: number;
  readonly headersAt: number;
  readonly dataAt: number;
  readonly tensorStride: number;
  readonly slotStride: number;
  readonly bytes: number;
}

export const PAGE_BYTES = 4096;
export const SLOT_HEADER_BYTES = 128;
const TENSOR_ALIGNMENT = 64;

/** Bytes that a pool takes: what to ask `createSharedMemory` for. @throws OnepassError `startup` on a shape that cannot be. */
export function poolBytes(shape: KvShape, slots: number): number {
  return poolLayout(shape, slots).bytes;
}

export function poolLayout(shape: KvShape, slots: number): PoolLayout {
  for (const [name, value] of Object.entries({ ...shape, slots })) {
    if (!Number.isSafeInteger(value) || value <= 0 || value > 0xffff_ffff) {
      throw startupError(`a KV pool with ${value} ${name} cannot be made`);
    }
  }
  const tensorStride = align(shape.capacity * shape.width * Float32Array.BYTES_PER_ELEMENT, TENSOR_ALIGNMENT);
  const slotStride = align(2 * shape.layers * tensorStride, PAGE_BYTES);
  const dataAt = align(PAGE_BYTES + slots * SLOT_HEADER_BYTES, PAGE_BYTES);
  const bytes = dataAt + slots * slotStride;
  if (!Number.isSafeInteger(bytes)) throw startupError(`a KV pool of ${bytes} bytes cannot be made`);
  return { shape, slots, headersAt: PAGE_BYTES, dataAt, tensorStride, slotStride, bytes };
}

/** One tensor per layer for K and for V. */
export interface KvTensors {
  readonly keys: readonly Float32Array[];
  readonly values: readonly Float32Array[];
}

/** A slot's tensors in place, whole capacity. */
export function slotTensors(buffer: ArrayBuffer, layout: PoolLayout, slot: number): KvTensors {
  const { layers, capacity, width } = layout.shape;
  const tensor = (index: number) =>
    new Float32Array(buffer, layout.dataAt + slot * layout.slotStride + index * layout.tensorStride, capacity * width);
  return {
    keys: Array.from({ length: layers }, (_, layer) => tensor(2 * layer)),
    values: Array.from({ length: layers }, (_, layer) => tensor(2 * layer + 1)),
  };
}

function align(bytes: number, to: number): number {
  return Math.ceil(bytes / to) * to;
}

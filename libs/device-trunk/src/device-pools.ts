import { OnepassError, startupError } from '@onepass/errors';
import type { DeviceBuffer, DeviceEngine, DeviceGraph, HostArray, Resident } from '@onepass/inference';
import type { KvShape } from '@onepass/kv';
import { RESERVED_PAGES } from './page-table.js';

/** How a token's K and V lie on the device. */
export interface PagedShape {
  readonly kv: KvShape;
  readonly element: 'float32' | 'float16';
  /** Tokens a page. */
  readonly pageTokens: number;
}

const ELEMENT_BYTES = { float32: 4, float16: 2 } as const;

/** Of one pool: gathers count its numbers in 32 bits (ONNX Runtime 1.30.0 on CUDA). */
const MOST_NUMBERS = 2 ** 31 - 1;

/** Pages that so many tokens take. */
export function pagesOf({ pageTokens }: PagedShape, tokens: number): number {
  return Math.ceil(tokens / pageTokens);
}

/** Of one token in one of the pools. */
export function rowBytes({ kv, element }: PagedShape): number {
  return kv.width * ELEMENT_BYTES[element];
}

/** Of one page in all pools. */
export function pageBytes(shape: PagedShape): number {
  return 2 * shape.kv.layers * shape.pageTokens * rowBytes(shape);
}

/** Of one full history. */
export function slotBytes(shape: PagedShape): number {
  return pagesOf(shape, shape.kv.capacity) * pageBytes(shape);
}

/** Of pools with room for so many full histories, the pages that are nobody's with them. */
export function poolsBytes(shape: PagedShape, histories: number): number {
  return RESERVED_PAGES * pageBytes(shape) + histories * slotBytes(shape);
}

/** Keys and values of all people on the device: per layer one pool of rows for each, `key_pool_{l}` and `value_pool_{l}`, [pages x T, W]. */
export class DevicePools {
  readonly pages: number;
  readonly shape: PagedShape;
  readonly #engine: DeviceEngine;
  readonly #keys: readonly DeviceBuffer[];
  readonly #values: readonly DeviceBuffer[];
  readonly #underWay = new Set<Promise<unknown>>();

  private constructor(engine: DeviceEngine, shape: PagedShape, pages: number, buffers: readonly DeviceBuffer[]) {
    this.#engine = engine;
    this.shape = shape;
    this.pages = pages;
    this.#keys = buffers.slice(0, shape.kv.layers);
    this.#values = buffers.slice(shape.kv.layers);
  }

  /**
   * As many pages as `bytes` have room for, zeros.
   * @throws OnepassError `startup` when that is less than one full history, more than one pool can be, or more than the device has
   */
  static async allocate(engine: DeviceEngine, shape: PagedShape, bytes: number): Promise<DevicePools> {
    const pages = Math.floor(bytes / pageBytes(shape));
    const least = poolsBytes(shape, 1);
    if (!(bytes >= least))
      throw startupError(`KV of ${bytes} bytes on ${engine.device} has no room for one full history of ${least}`);
    const mostPages = Math.floor(MOST_NUMBERS / (shape.pageTokens * shape.kv.width));
    if (pages > mostPages)
      throw startupError(
        `KV of ${bytes} bytes on ${engine.device} is too large: ${mostPages * pageBytes(shape)} at most`,
      );
    const poolBytes = pages * shape.pageTokens * rowBytes(shape);
    const buffers: DeviceBuffer[] = [];
    try {
      for (let i = 0; i < 2 * shape.kv.layers; i++) buffers.push(await engine.allocate(poolBytes));
    } catch (error) {
      for (const buffer of buffers) buffer.close();
      if (!(error instanceof OnepassError && error.kind === 'startup')) throw error;
      throw startupError(tooMuch(engine, shape, bytes), error);
    }
    return new DevicePools(engine, shape, pages, buffers);
  }

  get bytes(): number {
    return this.pages * pageBytes(this.shape);
  }

  /** Rows of each pool. */
  get rows(): number {
    return this.pages * this.shape.pageTokens;
  }

  /** By the names that the graph has for them: one that writes them has them as outputs too, unless it does so through its inputs. */
  residentOf({ inputs, outputs }: Pick<DeviceGraph, 'inputs' | 'outputs'>): Resident {
    const names = new Set([...inputs, ...outputs].map(({ name }) => name));
    const named = (side: string, buffers: readonly DeviceBuffer[]) =>
      buffers.flatMap((buffer, layer) => [
        [`${side}_pool_${layer}`, buffer] as const,
        [`${side}_pool_out_${layer}`, buffer] as const,
      ]);
    const all = [...named('key', this.#keys), ...named('value', this.#values)];
    return Object.fromEntries(all.filter(([name]) => names.has(name)));
  }

  /** Zeros in rows [from, to) of every pool, behind all runs under way. */
  async clear(rows: readonly (readonly [from: number, to: number])[]): Promise<void> {
    const each = rowBytes(this.shape);
    const ranges = joined(rows);
    const parts = this.#buffers.flatMap((buffer) =>
      ranges.map(([from, to]) => ({ buffer, from: from * each, to: to * each })),
    );
    await this.#all([this.#engine.clear(parts)]);
  }

  /** K, then V of each layer into pool rows from `row` on, as many as each array has. */
  async write(row: number, keys: readonly HostArray[], values: readonly HostArray[]): Promise<void> {
    const at = row * rowBytes(this.shape);
    const into = (buffers: readonly DeviceBuffer[], arrays: readonly HostArray[]) =>
      buffers.map((buffer, layer) => this.#engine.write(buffer, at, arrays[layer]!));
    await this.#all([...into(this.#keys, keys), ...into(this.#values, values)]);
  }

  async read(row: number, keys: readonly HostArray[], values: readonly HostArray[]): Promise<void> {
    const at = row * rowBytes(this.shape);
    const from = (buffers: readonly DeviceBuffer[], arrays: readonly HostArray[]) =>
      buffers.map((buffer, layer) => this.#engine.read(buffer, at, arrays[layer]!));
    await this.#all([...from(this.#keys, keys), ...from(this.#values, values)]);
  }

  /** Waits for what is under way here; no run over the pools may be. */
  async close(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
    for (const buffer of this.#buffers) buffer.close();
  }

  get #buffers(): DeviceBuffer[] {
    return [...this.#keys, ...this.#values];
  }

  /** When all of it is done, whatever fails: else a copy could still be on its way to a page that is somebody else's by then. */
  async #all(works: readonly Promise<void>[]): Promise<void> {
    const done = Promise.allSettled(works);
    this.#underWay.add(done);
    const outcomes = await done;
    this.#underWay.delete(done);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }
}

function tooMuch(engine: DeviceEngine, shape: PagedShape, bytes: number): string {
  const { freeBytes, totalBytes } = engine.memory();
  const people = (room: number) => Math.max(0, Math.floor(room / slotBytes(shape)));
  const wanted = `KV of ${bytes} bytes, ${people(bytes)} full histories, cannot be had on ${engine.device}`;
  return `${wanted}: ${freeBytes} of its ${totalBytes} bytes are free, room for ${people(freeBytes)}`;
}

/** Ranges that follow each other as one. */
function joined(ranges: readonly (readonly [from: number, to: number])[]): [from: number, to: number][] {
  const all: [number, number][] = [];
  for (const [from, to] of [...ranges].sort(([a], [b]) => a - b)) {
    const last = all.at(-1);
    if (last?.[1] === from) last[1] = to;
    else all.push([from, to]);
  }
  return all;
}

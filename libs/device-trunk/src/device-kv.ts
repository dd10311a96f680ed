import { allFiniteF16 } from '@onepass/embeddings';
import type { DeviceEngine } from '@onepass/inference';
import {
  type CheckedPool,
  checkGeneration,
  checkReference,
  type KvReference,
  type KvRefusal,
  type SlotBookStats,
  type SlotContent,
  SlotHeaders,
  type SlotState,
  SlotTenancies,
  type Visit,
} from '@onepass/kv';
import { DevicePools, type PagedShape, pageBytes, pagesOf, rowBytes } from './device-pools.js';
import { PADDING_PAGE, PageTable, RESERVED_PAGES } from './page-table.js';
import { type PageWrite, PageWrites } from './page-writes.js';
import { areFinite } from './run-inputs.js';

export interface DeviceKvOptions {
  readonly shape: PagedShape;
  /** Most persons held at one time. */
  readonly slots: number;
  /** Device memory for KV. */
  readonly bytes: number;
  readonly releaseId: string;
  /** Never used before: references of an earlier process must miss. */
  readonly poolId: string;
  /** How long a retired slot rests before it is used again: the longest deadline that a reader can have. */
  readonly restMs: number;
  /** A clock that does not run backwards, in milliseconds. */
  readonly now: () => number;
}

export interface DeviceKvStats extends Omit<SlotBookStats, 'pages'> {
  /** Memory that slots have, and the most that they may have together. */
  readonly bytes: number;
  readonly bytesLimit: number;
  /** Persons of whom bytes lie anywhere in the pools. */
  readonly persons: number;
}

/** Keys and values of some tokens in host memory, [n x W] per layer, of the pools' element type. */
export interface HostKv {
  readonly keys: readonly (Float32Array | Uint16Array)[];
  readonly values: readonly (Float32Array | Uint16Array)[];
}

/**
 * KV of many people on a device, in pages. The verbs, references and misses are those of `KvPoolWriter` and `KvPoolReader`; readers and the writer are in
 * one process, and what they do on the device is in order of their runs. A page is given on as it is: whoever takes it first overwrites all of it, so
 * that nothing behind their tokens is another person's, and no number is NaN.
 */
export class DeviceKv {
  readonly pools: DevicePools;
  readonly #options: DeviceKvOptions;
  readonly #table: PageTable;
  readonly #tenancies: SlotTenancies;
  readonly #checked: CheckedPool;
  readonly #writes: PageWrites;

  private constructor(pools: DevicePools, options: DeviceKvOptions) {
    const { slots, shape } = options;
    this.pools = pools;
    this.#options = options;
    this.#table = new PageTable(pools.pages, slots);
    const headers = SlotHeaders.inProcess(slots);
    const { capacity } = shape.kv;
    this.#checked = { ...options, capacity, headers };
    this.#tenancies = new SlotTenancies(
      { ...options, pages: pools.pages - RESERVED_PAGES, capacity, pagesOf: (tokens) => pagesOf(shape, tokens) },
      headers,
      {
        reserve: (slot, from, to) => this.#table.take(slot, to - from),
        discard: (slot, from) => this.#table.giveBack(slot, from),
      },
    );
    this.#writes = new PageWrites(pools, this.#table);
  }

  /** @throws OnepassError `startup` when the device has not so many bytes, or they have no room for one full history */
  static async create(engine: DeviceEngine, options: DeviceKvOptions): Promise<DeviceKv> {
    return new DeviceKv(await DevicePools.allocate(engine, options.shape, options.bytes), options);
  }

  /** The person's published KV. A person's visit counts as a use of it. */
  lookup(personKey: string, visit: Visit = 'person'): SlotState | undefined {
    return this.#tenancies.lookup(personKey, visit);
  }

  /** As `KvPoolWriter.allocate`. */
  allocate(personKey: string, tokens: number, visit: Visit = 'person'): SlotState | KvRefusal {
    const found = this.#tenancies.allocate(personKey, tokens, visit);
    return typeof found === 'string' ? found : found.state;
  }

  /** As `KvPoolWriter.grow`. @throws OnepassError `kv_miss` when the slot was retired meanwhile */
  grow(state: SlotState, tokens: number): KvRefusal | undefined {
    return this.#tenancies.grow(state, tokens);
  }

  lease(state: SlotState): void {
    this.#tenancies.lease(state);
  }

  release(state: SlotState): void {
    this.#tenancies.release(state);
  }

  /** As `KvPoolWriter.publish`. @throws OnepassError `kv_miss`, `internal` */
  publish(state: SlotState, content: SlotContent): void {
    this.#tenancies.publish(state, content);
  }

  /** Ends the person's KV: readers miss from now on, the one under way too. */
  retire(personKey: string): void {
    this.#tenancies.retire(personKey);
  }

  /** Leaves no byte of a person on the device once it resolves; readers miss at once. The person's slot must not be leased. */
  async forget(personKey: string): Promise<void> {
    this.#tenancies.forget(personKey);
    // Who comes back meanwhile brings KV of their own, which stays.
    await this.#writes.zeroPerson(personKey, (state) => this.#isCurrent(state));
  }

  /** Ends KV that gives no numbers, and zeroes what is left of it. */
  async scrub(tenancy: Pick<SlotState, 'slot' | 'generation' | 'personKey'>): Promise<void> {
    this.#tenancies.end(tenancy);
    await this.#writes.zeroTenancy(tenancy);
  }

  /** @param state absent = an empty past: nobody's, of length 0 */
  reference(state: SlotState | undefined): KvReference {
    if (state !== undefined) return this.#tenancies.reference(state);
    const { releaseId, poolId } = this.#options;
    const nothing = { slot: 0, generation: 0n, length: 0, personKey: new Uint8Array(0) };
    return { releaseId, poolId, ...nothing, historySequence: 0n, historyHash: 0n };
  }

  /**
   * The pages that hold the first `reference.length` tokens, in order.
   * @throws OnepassError `kv_miss` saying why it is not there; `release_mismatch` when the reference is of another release
   */
  read(reference: KvReference): readonly number[] {
    checkReference(reference, this.#checked, () => this.verify(reference));
    return this.#table.pagesOf(reference.slot).slice(0, pagesOf(this.#options.shape, reference.length));
  }

  /** Once the run over what `read` gave has returned. @throws OnepassError `kv_miss` when it may have changed meanwhile */
  verify(reference: KvReference): void {
    checkGeneration(this.#checked.headers, reference);
  }

  /** @throws OnepassError `kv_miss` when the slot is no longer this tenancy's */
  require(state: SlotState): void {
    this.#tenancies.require(state);
  }

  /** Tokens that the slot has room for. */
  roomOf({ slot }: SlotState): number {
    return Math.min(this.#table.pagesOf(slot).length * this.#options.shape.pageTokens, this.#options.shape.kv.capacity);
  }

  /** The first pages of a slot, so many as the tokens take. */
  pagesFor({ slot }: Pick<SlotState, 'slot'>, tokens: number): readonly number[] {
    return this.#table.pagesOf(slot).slice(0, pagesOf(this.#options.shape, tokens));
  }

  /** Whether tokens `from` to `to` of the slot may be written at once. */
  isWritable(state: SlotState, from: number, to: number): boolean {
    return this.#writes.isFree(state, from, to);
  }

  /** When they are likely to be: `isWritable` says so, in the turn in which the write begins. @throws OnepassError `kv_miss` when the slot was retired meanwhile */
  async writable(state: SlotState, from: number, to: number): Promise<void> {
    await this.#writes.settled(state, from, to);
    this.#tenancies.require(state);
  }

  /** `PageWrite.behind` of a write up to token `to`. */
  behind(state: SlotState, to: number): number {
    return this.#writes.behind(state, to);
  }

  /**
   * Tokens `from` to `to` of a slot that is leased, has room for them and is writable there. `from` is where the slot's tokens end, so that every page
   * is overwritten from its beginning by whoever takes it.
   * @throws OnepassError `kv_miss` when the slot was retired meanwhile
   */
  beginWrite(state: SlotState, from: number, to: number): PageWrite {
    this.#tenancies.require(state);
    return this.#writes.begin(state, from, to);
  }

  /** Of rows of which nothing is kept: they go where those of padding go. */
  writeNowhere(): PageWrite {
    const { pageTokens } = this.#options.shape;
    const nothing = () => {};
    const rowOf = (token: number) => PADDING_PAGE * pageTokens + (token % pageTokens);
    return { rowOf, behind: 0, done: nothing, dropped: nothing, failed: async () => {} };
  }

  /**
   * Tokens behind those that the slot holds, from host memory: KV that comes back from a tier. It must be leased and have room for them.
   * @throws OnepassError `kv_miss` when the slot was retired meanwhile
   */
  async write(state: SlotState, from: number, { keys, values }: HostKv): Promise<void> {
    const { width } = this.#options.shape.kv;
    const to = from + keys[0]!.length / width;
    if (to === from) return;
    while (!this.isWritable(state, from, to)) await this.writable(state, from, to);
    const write = this.beginWrite(state, from, to);
    try {
      for (let token = from; token < to; ) {
        const end = Math.min(to, this.#pageEnd(token));
        const part = (tensor: Float32Array | Uint16Array) =>
          tensor.subarray((token - from) * width, (end - from) * width);
        await this.pools.write(write.rowOf(token), keys.map(part), values.map(part));
        token = end;
      }
      if (write.behind > 0) {
        const zeros = keys.map(() => new Uint16Array((write.behind * rowBytes(this.#options.shape)) / 2));
        await this.pools.write(write.rowOf(to), zeros, zeros);
      }
      write.done();
    } catch (error) {
      await write.failed();
      throw error;
    }
  }

  /**
   * The first `reference.length` tokens in host memory, for a tier to keep.
   * @throws OnepassError as `read` and `verify`
   */
  async copy(reference: KvReference): Promise<HostKv> {
    const { kv, pageTokens } = this.#options.shape;
    const pages = this.read(reference);
    const copied = blankKv(this.#options.shape, reference.length);
    for (const [index, page] of pages.entries()) {
      const from = index * pageTokens * kv.width;
      const to = Math.min(reference.length, (index + 1) * pageTokens) * kv.width;
      const part = (tensor: Float32Array | Uint16Array) => tensor.subarray(from, to);
      await this.pools.read(page * pageTokens, copied.keys.map(part), copied.values.map(part));
    }
    this.verify(reference);
    return copied;
  }

  /**
   * Whether tokens `from` to `to` of a slot are numbers: page by page, up to the first of which that is not so.
   * @param check throws when they are not the tenancy's that is meant: before and after each page is read
   */
  async areNumbers(slot: Pick<SlotState, 'slot'>, from: number, to: number, check: () => void): Promise<boolean> {
    const { shape } = this.#options;
    const pages = this.pagesFor(slot, to);
    for (let token = from; token < to; ) {
      const end = Math.min(to, this.#pageEnd(token));
      const { keys, values } = blankKv(shape, end - token);
      const row = pages[Math.floor(token / shape.pageTokens)]! * shape.pageTokens + (token % shape.pageTokens);
      check();
      await this.pools.read(row, keys, values);
      check();
      if (![...keys, ...values].every(hasNumbers)) return false;
      token = end;
    }
    return true;
  }

  stats(): DeviceKvStats {
    const { pages, ...stats } = this.#tenancies.stats();
    const each = pageBytes(this.#options.shape);
    const bytesLimit = (this.pools.pages - RESERVED_PAGES) * each;
    return { ...stats, bytes: pages * each, bytesLimit, persons: this.#table.persons };
  }

  /** Waits for what is written, copied and zeroed; no run over the pools may be under way. */
  close(): Promise<void> {
    return this.pools.close();
  }

  #isCurrent(state: SlotState): boolean {
    try {
      this.#tenancies.require(state);
      return true;
    } catch {
      return false;
    }
  }

  #pageEnd(token: number): number {
    const { pageTokens } = this.#options.shape;
    return (Math.floor(token / pageTokens) + 1) * pageTokens;
  }
}

/** Room in host memory for so many tokens. */
function blankKv({ kv, element }: PagedShape, tokens: number): HostKv {
  const size = tokens * kv.width;
  const blank = () =>
    Array.from({ length: kv.layers }, () => (element === 'float32' ? new Float32Array(size) : new Uint16Array(size)));
  return { keys: blank(), values: blank() };
}

/** @param tensor float32s, or bits of float16s */
function hasNumbers(tensor: Float32Array | Uint16Array): boolean {
  return tensor instanceof Float32Array ? areFinite(tensor) : allFiniteF16(tensor);
}

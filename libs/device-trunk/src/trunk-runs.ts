import {
  type DeviceGraph,
  type HostArrays,
  isOutOfMemory,
  type PreparedRun,
  type PrepareOptions,
} from '@onepass/inference';
import { type Buckets, type EncodeSizes, encodeWork, hasColumns, type RankSizes, rankWork } from './buckets.js';
import type { DeviceModel } from './device-model.js';
import type { DevicePools } from './device-pools.js';
import { type PreparedLimits, PreparedRuns, type PreparedUse } from './prepared-runs.js';
import { fillEncode, fillRank } from './run-inputs.js';

export type RunSizes = EncodeSizes | RankSizes;

/**
 * For how long sizes that the device had no memory for are not tried again, since each try gives back what is ready, and stops all lanes: at first, and at most; twice as
 * long after each try that fails.
 */
const RETRY_MS = { first: 1_000, most: 60_000 };

/** What there was no memory for. */
interface TooLarge {
  readonly sizes: RunSizes;
  readonly error: unknown;
  readonly until: number;
  readonly waitMs: number;
}

/** `encode b=8 g=36 m=1`: names a bucket, in the log too. */
export function keyOf(sizes: RunSizes): string {
  const graph = kindOf(sizes) === 'encode' && sizes.g === 0 ? 'prefill' : kindOf(sizes);
  return `${graph} ${Object.entries(sizes)
    .map(([name, size]) => `${name}=${size}`)
    .join(' ')}`;
}

export function kindOf(sizes: RunSizes): 'encode' | 'rank' {
  return 'm' in sizes ? 'encode' : 'rank';
}

export interface TrunkGraphs {
  /** Encodes people without a past; absent = `encode` does. */
  readonly prefill: DeviceGraph | undefined;
  readonly encode: DeviceGraph;
  readonly rank: DeviceGraph;
}

/** The prepared runs of the trunk's graphs, over the pools of all people. */
export class TrunkRuns {
  readonly #model: DeviceModel;
  readonly #buckets: Buckets;
  readonly #graphs: TrunkGraphs;
  readonly #pools: DevicePools;
  readonly #prepared: PreparedRuns<RunSizes>;
  readonly #now: () => number;
  readonly #tooLarge = new Map<string, TooLarge>();

  constructor(
    model: DeviceModel,
    buckets: Buckets,
    graphs: TrunkGraphs,
    pools: DevicePools,
    options: { readonly limits: PreparedLimits; readonly now: () => number },
  ) {
    this.#model = model;
    this.#buckets = buckets;
    this.#graphs = graphs;
    this.#pools = pools;
    this.#now = options.now;
    this.#prepared = new PreparedRuns((sizes, capture) => this.#prepare(sizes, { capture }), options.limits);
  }

  get stats(): PreparedRuns<RunSizes>['stats'] {
    return this.#prepared.stats;
  }

  /** Whether a run of these sizes can be had, as far as is known: nothing as large, or smaller, failed lately. */
  allows(sizes: RunSizes): boolean {
    return this.#refusal(sizes) === undefined;
  }

  /**
   * A run of these sizes, or a larger one that is ready, where that is no more padding than buckets may have: a run takes long to prepare, and stops
   * all others meanwhile.
   * @param work that is asked for, without padding
   * @param held most tokens that one of those to encode holds before
   * @throws OnepassError `startup` when the device has no memory for it
   */
  async use(sizes: RunSizes, work: number, held = 0): Promise<PreparedUse<RunSizes>> {
    const ready = this.#ready(sizes, work, held);
    const refusal = ready === undefined ? this.#refusal(sizes) : undefined;
    if (refusal !== undefined) throw refusal;
    const chosen = ready ?? sizes;
    const key = keyOf(chosen);
    try {
      const use = await this.#prepared.use(key, chosen);
      this.#tooLarge.delete(key);
      return use;
    } catch (error) {
      if (isOutOfMemory(error)) {
        const before = this.#tooLarge.get(key)?.waitMs;
        const waitMs = before === undefined ? RETRY_MS.first : Math.min(2 * before, RETRY_MS.most);
        this.#tooLarge.set(key, { sizes: chosen, error, waitMs, until: this.#now() + waitMs });
      }
      throw error;
    }
  }

  /** Work of a run, padding included. */
  workOf(sizes: RunSizes): number {
    const { shape } = this.#buckets;
    return 'm' in sizes ? encodeWork(shape, sizes) : rankWork(shape, sizes);
  }

  /** @see PreparedRuns */
  close(): Promise<void> {
    return this.#prepared.close();
  }

  /** Why a run of these sizes is not tried. */
  #refusal(sizes: RunSizes): unknown {
    for (const failed of this.#tooLarge.values())
      if (failed.until > this.#now() && covers(sizes, failed.sizes)) return failed.error;
    return undefined;
  }

  #ready(sizes: RunSizes, work: number, held: number): RunSizes | undefined {
    let best: RunSizes | undefined;
    const { padding, shape } = this.#buckets;
    const most = work / (1 - padding);
    for (const ready of this.#prepared.ready()) {
      if (!covers(ready, sizes) || ('m' in ready && !hasColumns(shape, ready, held))) continue;
      if (keyOf(ready) === keyOf(sizes)) return ready;
      const cost = this.workOf(ready);
      if (cost <= Math.max(most, this.workOf(sizes)) && (best === undefined || cost < this.workOf(best))) best = ready;
    }
    return best;
  }

  /** Warmed up with nobody's rows. */
  #prepare(sizes: RunSizes, options: PrepareOptions): Promise<PreparedRun> {
    const { prefill, encode, rank } = this.#graphs;
    const pools = this.#pools;
    const r = pools.rows;
    if (!('m' in sizes))
      return rank.prepare({ ...sizes, r }, pools.residentOf(rank), (inputs) => fillRank(inputs, sizes, []), options);
    const { b, g, m } = sizes;
    const [graph, dimensions] = g === 0 && prefill ? [prefill, { b, m, r }] : [encode, { b, g, m, r }];
    const nobody = (inputs: HostArrays) => fillEncode(inputs, sizes, this.#model, []);
    return graph.prepare(dimensions, pools.residentOf(graph), nobody, options);
  }
}

/** Whether a run of sizes `one` has room for `other`. */
function covers(one: RunSizes, other: RunSizes): boolean {
  if ((one.g === 0) !== (other.g === 0)) return false;
  const large = one as unknown as Readonly<Record<string, number>>;
  return Object.entries(other).every(([name, size]) => (large[name] ?? -1) >= size);
}

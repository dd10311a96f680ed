import type { DeviceEngine, RunTerms } from '@onepass/inference';
import { type BucketOptions, Buckets, workOf } from './buckets.js';
import { DeviceKv, type DeviceKvOptions } from './device-kv.js';
import { type DeviceModel, graphPath, pagedShapeOf } from './device-model.js';
import { pagesOf } from './device-pools.js';
import type { PreparedLimits } from './prepared-runs.js';
import { type EncodeAsk, type EncodeResult, EncodeWork, type RankAsk, type RankResult, RankWork } from './trunk-ask.js';
import { checkEncode, checkRank } from './trunk-checks.js';
import { TrunkLanes, type TrunkLanesStats } from './trunk-lanes.js';
import { type RunSizes, TrunkRuns } from './trunk-runs.js';

/** Which of the model's ways to compute attention each graph uses: what is fastest differs (docs/decisions/022-attention.md). */
export interface TrunkAttention {
  /** Of people without a past; absent = `encode`'s graph does it, from pages. */
  readonly prefill?: string | undefined;
  readonly encode: string;
  readonly rank: string;
}

export interface DeviceTrunkOptions {
  readonly engine: DeviceEngine;
  readonly model: DeviceModel;
  readonly attention: TrunkAttention;
  readonly kv: Omit<DeviceKvOptions, 'shape' | 'now'>;
  /** Most candidates of one request. */
  readonly candidates: number;
  /** How many requests usually have; absent = the most. */
  readonly usualCandidates?: number | undefined;
  readonly buckets: BucketOptions;
  readonly prepared: PreparedLimits;
  /** Asks that may wait. */
  readonly maxQueued: number;
  /** A clock that does not run backwards, in ms, for KV and for what waits; absent = the process's. */
  readonly now?: () => number;
  /** The clock of deadlines, in ms; absent = epoch time. */
  readonly epochNow?: () => number;
}

export interface DeviceTrunkStats extends TrunkLanesStats {
  readonly prepared: TrunkRuns['stats'];
}

/**
 * The shared transformer on a device, for single callers: encode and rank of many people at one time become runs of several, over KV that stays there.
 * Whoever comes while a lane is free runs at once; who comes while all are busy waits in line, and goes with whoever fits into the same run.
 */
export class DeviceTrunk {
  readonly kv: DeviceKv;
  readonly buckets: Buckets;
  readonly #options: DeviceTrunkOptions;
  readonly #runs: TrunkRuns;
  readonly #lanes: TrunkLanes;
  /** Encodes that wait or are under way and whose answer another caller may share, by what they do. */
  readonly #shared = new Map<string, EncodeWork>();

  private constructor(options: DeviceTrunkOptions, kv: DeviceKv, buckets: Buckets, runs: TrunkRuns) {
    this.#options = options;
    this.kv = kv;
    this.buckets = buckets;
    this.#runs = runs;
    const { engine, maxQueued, model } = options;
    const limits = { lanes: engine.lanes, maxQueued, epochNow: () => this.#epochNow() };
    this.#lanes = new TrunkLanes({ model, kv, runs }, buckets, limits);
  }

  /** @throws OnepassError `startup`: a graph that does not load, or not so much memory on the device */
  static async open(options: DeviceTrunkOptions): Promise<DeviceTrunk> {
    const { engine, model, attention, candidates, usualCandidates } = options;
    const { width, pageTokens, contextRows } = model;
    const shape = pagedShapeOf(model);
    const { capacity } = shape.kv;
    const prefill =
      attention.prefill === undefined ? undefined : await engine.load(graphPath(model, 'prefill', attention.prefill));
    const encode = await engine.load(graphPath(model, 'encode', attention.encode));
    const rank = await engine.load(graphPath(model, 'rank', attention.rank));
    const now = options.now ?? (() => performance.now());
    const kv = await DeviceKv.create(engine, { ...options.kv, shape, now });
    const most = { capacity, contextRows, candidates, usualCandidates };
    const sizes = { width, pageTokens, ...most, prefill: prefill !== undefined };
    const buckets = new Buckets(sizes, options.buckets);
    const limits = options.prepared;
    return new DeviceTrunk(
      options,
      kv,
      buckets,
      new TrunkRuns(model, buckets, { prefill, encode, rank }, kv.pools, { limits, now }),
    );
  }

  /**
   * The new tokens' keys and values behind those that the slot holds, published; and the last row's hidden state. When it is rejected nothing was
   * published.
   * @throws OnepassError `kv_miss` when the slot is not what the rows were made for; `overloaded`; the signal's reason; `unavailable` when the device
   * has no memory or is lost; `internal`, also when K or V are not finite: then the person's KV is retired
   */
  async encode(ask: EncodeAsk, terms: RunTerms = {}): Promise<EncodeResult> {
    const count = checkEncode(this.#options.model, this.buckets.shape, ask);
    const { from, tokens } = ask;
    const twin = tokens === count ? twinOf(ask) : undefined;
    const same = twin === undefined ? undefined : this.#shared.get(twin);
    if (same?.isWanted && !terms.signal?.aborted) {
      this.#lanes.join(same, terms);
      return same.answer(terms.signal);
    }
    const to = from + count;
    const work: EncodeWork = new EncodeWork(
      ask,
      {
        count,
        work: workOf(this.buckets.shape, count, to),
        sizes: () => ({ b: 1, g: this.#pagesOf(ask, to), m: count + this.#behind(ask, to) }),
      },
      terms,
      this.#epochNow(),
      () => this.#lanes.leave(work),
    );
    this.#lanes.admit(work, terms);
    if (twin === undefined) return this.#answerOf(work, terms);
    this.#shared.set(twin, work);
    try {
      return await work.answer(terms.signal);
    } finally {
      if (this.#shared.get(twin) === work) this.#shared.delete(twin);
    }
  }

  /**
   * Rows of the request that overflow spoil the tokens before them too, where attention multiplies what it must not see by 0: then the tokens are encoded
   * without them.
   */
  async #answerOf(work: EncodeWork, terms: RunTerms): Promise<EncodeResult> {
    try {
      return await work.answer(terms.signal);
    } catch (error) {
      const { ask, spoilt } = work;
      if (spoilt === undefined) throw error;
      const rows = ask.rows.subarray(0, ask.tokens * this.#options.model.columns);
      return { ...(await this.encode({ ...ask, rows }, terms)), hidden: spoilt };
    }
  }

  /** @throws OnepassError as `encode`; `kv_miss` when the past is not there, or changed meanwhile; `release_mismatch` */
  async rank(ask: RankAsk, terms: RunTerms = {}): Promise<RankResult> {
    checkRank(this.#options.model, this.#options.candidates, ask);
    const { contextRows: c, candidateCount: k, kv } = ask;
    if (kv.length > 0) this.kv.read(kv);
    const { shape } = this.buckets;
    const g = Math.max(1, pagesOf(this.kv.pools.shape, kv.length));
    const of = { work: workOf(shape, c + k, kv.length + c), sizes: { b: 1, g, s: 1, c, k } };
    const work: RankWork = new RankWork(ask, of, terms, this.#epochNow(), () => this.#lanes.leave(work));
    this.#lanes.admit(work, terms);
    return work.answer(terms.signal);
  }

  /** Prepares runs of these sizes, rounded up to their buckets. @throws OnepassError `startup` when the device has no memory for one */
  async warmUp(list: readonly RunSizes[]): Promise<void> {
    for (const sizes of list) {
      const bucket = 'm' in sizes ? this.buckets.encode(sizes) : this.buckets.rank(sizes);
      const held = 'm' in bucket && bucket.g > 0 ? bucket.g * this.buckets.shape.pageTokens - bucket.m : 0;
      this.#lanes.requireOpen();
      (await this.#runs.use(bucket, this.#runs.workOf(bucket), held)).done();
    }
  }

  stats(): DeviceTrunkStats {
    return { ...this.#lanes.stats(), prepared: this.#runs.stats };
  }

  /** Waits for what runs and what waits, then gives the device's memory back; the engine stays open. */
  async close(): Promise<void> {
    await this.#lanes.close();
    await this.#runs.close();
    await this.kv.close();
  }

  /** None for people without a past, where there is a graph for them. */
  #pagesOf({ from }: EncodeAsk, to: number): number {
    return from === 0 && this.buckets.shape.prefill ? 0 : pagesOf(this.kv.pools.shape, to);
  }

  #behind({ state }: EncodeAsk, to: number): number {
    return state === undefined || this.kv.roomOf(state) < to ? 0 : this.kv.behind(state, to);
  }

  #epochNow(): number {
    return (this.#options.epochNow ?? Date.now)();
  }
}

/** What else an encode must be to be the same; undefined: of a pass of which nothing is kept it is not known. */
function twinOf({ state, from, tokens, sequence, hash }: EncodeAsk): string | undefined {
  return state && `${state.slot} ${state.generation} ${from} ${tokens} ${sequence} ${hash}`;
}

import { OnepassError, overloaded, unavailable } from '@onepass/errors';
import { abortReason, type DeviceEngine, isOutOfMemory, type RunTerms } from '@onepass/inference';
import { AskLine } from './ask-line.js';
import { type Played, sumOfWork } from './batch-run.js';
import { type BucketOptions, Buckets, workOf } from './buckets.js';
import { DeviceKv, type DeviceKvOptions } from './device-kv.js';
import { type DeviceModel, graphPath } from './device-model.js';
import { pagesOf } from './device-pools.js';
import { encodeBatch } from './encode-batch.js';
import { Forecast } from './forecast.js';
import { type Batch, planBatch } from './plan-batch.js';
import type { PreparedLimits } from './prepared-runs.js';
import { rankBatch } from './rank-batch.js';
import { type EncodeAsk, type EncodeResult, EncodeWork, type RankAsk, type RankResult, RankWork } from './trunk-ask.js';
import { checkEncode, checkRank } from './trunk-checks.js';
import { trunkDefect } from './trunk-defect.js';
import { keyOf, kindOf, type RunSizes, TrunkRuns } from './trunk-runs.js';

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

export interface DeviceTrunkStats {
  /** Asks. */
  readonly waiting: { readonly encode: number; readonly rank: number };
  /** Runs. */
  readonly running: number;
  readonly runs: number;
  /** Asks that runs had. */
  readonly asked: number;
  /** Share of the runs' work that was padding. */
  readonly padding: number;
  readonly prepared: TrunkRuns['stats'];
}

type AnyWork = EncodeWork | RankWork;

/**
 * The shared transformer on a device, for single callers: encode and rank of many people at one time become runs of several, over KV that stays there.
 * Whoever comes while a lane is free runs at once; who comes while all are busy waits in line, and goes with whoever fits into the same run.
 */
export class DeviceTrunk {
  readonly kv: DeviceKv;
  readonly buckets: Buckets;
  readonly #options: DeviceTrunkOptions;
  readonly #runs: TrunkRuns;
  readonly #line = new AskLine<AnyWork>();
  /** Persons of whom an encode is under way. */
  readonly #encoding = new Set<string>();
  /** Encodes that wait or are under way and whose answer another caller may share, by what they do. */
  readonly #shared = new Map<string, EncodeWork>();
  readonly #forecast = new Forecast<'encode' | 'rank'>();
  readonly #onIdle: (() => void)[] = [];
  #runningMs = 0;
  #running = 0;
  #isPlanning = false;
  #isClosing = false;
  #counts = { runs: 0, asked: 0, work: 0, done: 0 };

  private constructor(options: DeviceTrunkOptions, kv: DeviceKv, buckets: Buckets, runs: TrunkRuns) {
    this.#options = options;
    this.kv = kv;
    this.buckets = buckets;
    this.#runs = runs;
  }

  /** @throws OnepassError `startup`: a graph that does not load, or not so much memory on the device */
  static async open(options: DeviceTrunkOptions): Promise<DeviceTrunk> {
    const { engine, model, attention, candidates, usualCandidates } = options;
    const { layers, width, pageTokens, window, contextRows } = model;
    const capacity = window + contextRows;
    const prefill =
      attention.prefill === undefined ? undefined : await engine.load(graphPath(model, 'prefill', attention.prefill));
    const encode = await engine.load(graphPath(model, 'encode', attention.encode));
    const rank = await engine.load(graphPath(model, 'rank', attention.rank));
    const now = options.now ?? (() => performance.now());
    const shape = { kv: { layers, width, capacity }, element: model.dtype, pageTokens };
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
   * has no memory or is lost; `internal`, also when there was no finite result: then the person's KV is retired
   */
  async encode(ask: EncodeAsk, terms: RunTerms = {}): Promise<EncodeResult> {
    const count = checkEncode(this.#options.model, this.buckets.shape, ask);
    const { from, tokens } = ask;
    const twin = tokens === count ? twinOf(ask) : undefined;
    const same = twin === undefined ? undefined : this.#shared.get(twin);
    if (same?.isWanted && !terms.signal?.aborted) {
      this.#join(same, terms);
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
      () => this.#leave(work),
    );
    this.#admit(work, terms);
    if (twin === undefined) return work.answer(terms.signal);
    this.#shared.set(twin, work);
    try {
      return await work.answer(terms.signal);
    } finally {
      if (this.#shared.get(twin) === work) this.#shared.delete(twin);
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
    const work: RankWork = new RankWork(ask, of, terms, this.#epochNow(), () => this.#leave(work));
    this.#admit(work, terms);
    return work.answer(terms.signal);
  }

  /** Prepares runs of these sizes, rounded up to their buckets. @throws OnepassError `startup` when the device has no memory for one */
  async warmUp(list: readonly RunSizes[]): Promise<void> {
    for (const sizes of list) {
      const bucket = 'm' in sizes ? this.buckets.encode(sizes) : this.buckets.rank(sizes);
      const held = 'm' in bucket && bucket.g > 0 ? bucket.g * this.buckets.shape.pageTokens - bucket.m : 0;
      if (this.#isClosing) throw unavailable('the trunk is closing');
      (await this.#runs.use(bucket, this.#runs.workOf(bucket), held)).done();
    }
  }

  stats(): DeviceTrunkStats {
    const { runs, asked, work, done } = this.#counts;
    const padding = done === 0 ? 0 : 1 - work / done;
    const waiting = { encode: 0, rank: 0 };
    for (const { kind } of this.#line.inTurn()) waiting[kind]++;
    return { waiting, running: this.#running, runs, asked, padding, prepared: this.#runs.stats };
  }

  /** Waits for what runs and what waits, then gives the device's memory back; the engine stays open. */
  async close(): Promise<void> {
    this.#isClosing = true;
    while (this.#running > 0 || this.#line.length > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    await this.#runs.close();
    await this.kv.close();
  }

  /** Its turn comes after this: whoever calls must wait for its answer at once. */
  #admit(work: AnyWork, { signal }: RunTerms): void {
    if (signal?.aborted) throw abortReason(signal);
    if (this.#isClosing) throw unavailable('the trunk is closing');
    const refusal = this.#refusal(work);
    if (refusal !== undefined) throw refusal;
    this.#line.add(work);
    this.#plan();
  }

  /** Why it cannot wait. */
  #refusal(work: AnyWork): OnepassError | undefined {
    const { priority, deadlineMs } = work;
    if (this.#running < this.#options.engine.lanes && this.#line.length === 0) return undefined;
    const waitMs = this.#waitMs(work);
    const ownMs = this.#forecast.runMs(work.kind, keyOf(this.#bucketOf(work)), work.work);
    const remainingMs = deadlineMs - this.#epochNow();
    if (waitMs + ownMs > remainingMs) {
      const times = `done in ${Math.ceil(waitMs + ownMs)} ms, asked for in ${Math.max(0, Math.floor(remainingMs))} ms`;
      return overloaded(Math.ceil(waitMs), `${this.#line.length} asks wait for the trunk: ${times}`);
    }
    if (this.#line.length < this.#options.maxQueued) return undefined;
    const why = overloaded(Math.ceil(waitMs), `${this.#line.length} asks wait for the trunk, no more may`);
    const displaced = this.#line.displace(priority);
    displaced?.fail(why);
    return displaced === undefined ? why : undefined;
  }

  /** One more wants the same, perhaps sooner. */
  #join(work: AnyWork, terms: RunTerms): void {
    const isWaiting = this.#line.remove(work);
    work.join(terms, this.#epochNow());
    if (isWaiting) this.#line.add(work);
  }

  /** Until what runs, and what has its turn before this one, is done. */
  #waitMs(work: AnyWork): number {
    let ms = this.#runningMs;
    for (const { kind, work: size } of this.#line.ahead(work)) ms += this.#forecast.shareMs(kind, size);
    return ms / this.#options.engine.lanes;
  }

  /** Nobody waits for it any more. */
  #leave(work: AnyWork): void {
    this.#line.remove(work);
    this.#settle();
  }

  /** Once all that comes at this moment has come: then they may share a run. */
  #plan(): void {
    if (this.#isPlanning) return;
    this.#isPlanning = true;
    queueMicrotask(() => {
      this.#isPlanning = false;
      while (this.#running < this.#options.engine.lanes && this.#start());
      this.#settle();
    });
  }

  /** @returns false: nobody who waits may run now */
  #start(): boolean {
    const batch = planBatch<AnyWork>(this.#waiting(), {
      buckets: this.buckets,
      isFree: ({ kind, person }) => kind === 'rank' || !this.#encoding.has(person),
      allows: (_, sizes) => this.#runs.allows(sizes),
    });
    if (batch === undefined) return false;
    const works = batch.entries.flat();
    this.#line.take(works);
    void this.#run(batch, works);
    return true;
  }

  /** Everybody in the order of turns, without those whose time is over. */
  #waiting(): AnyWork[] {
    const now = this.#epochNow();
    const all = [...this.#line.inTurn()];
    const late = all.filter(({ deadlineMs }) => deadlineMs <= now);
    for (const work of late) {
      this.#line.remove(work);
      work.fail(overloaded(Math.ceil(this.#waitMs(work)), 'its time ran out while it waited'));
    }
    return late.length === 0 ? all : all.filter((work) => !late.includes(work));
  }

  async #run(batch: Batch<AnyWork>, works: readonly AnyWork[]): Promise<void> {
    const expectedMs = this.#forecast.runMs(batch.kind, keyOf(batch.sizes), sumOfWork(works));
    this.#running++;
    this.#runningMs += expectedMs;
    const persons = batch.kind === 'encode' ? works.map(({ person }) => person) : [];
    for (const person of persons) this.#encoding.add(person);
    try {
      this.#ran(await this.#play(batch, works), works.length);
    } catch (error) {
      this.#failed(works, error);
    } finally {
      this.#running--;
      this.#runningMs -= expectedMs;
      for (const person of persons) this.#encoding.delete(person);
      this.#plan();
    }
  }

  /** The run stops when nobody wants any of it any more. */
  async #play(batch: Batch<AnyWork>, works: readonly AnyWork[]): Promise<Played<AnyWork>> {
    const stop = new AbortController();
    const stopUnwanted = () => {
      if (!works.some(({ isWanted }) => isWanted)) stop.abort();
    };
    for (const work of works) work.begin(stopUnwanted);
    const { model } = this.#options;
    const deps = { model, kv: this.kv, runs: this.#runs };
    return batch.kind === 'encode'
      ? encodeBatch(deps, works as EncodeWork[], batch.sizes, stop.signal)
      : rankBatch(deps, batch.entries as RankWork[][], batch.sizes, stop.signal);
  }

  #ran({ ran, failed }: Played<AnyWork>, asked: number): void {
    if (failed !== undefined) this.#failed(failed.works, failed.error);
    if (ran === undefined) return;
    this.#forecast.ran(kindOf(ran.sizes), keyOf(ran.sizes), ran.work, ran.ms);
    const { runs, work, done } = this.#counts;
    this.#counts = {
      runs: runs + 1,
      asked: this.#counts.asked + asked,
      work: work + ran.work,
      done: done + this.#runs.workOf(ran.sizes),
    };
  }

  /** Where it may have been somebody else's, each of them has another try: alone after a run that failed, fewer where there was no memory. */
  #failed(works: readonly AnyWork[], thrown: unknown): void {
    const error = OnepassError.from(thrown);
    const hadNoMemory = isOutOfMemory(error);
    const isOfAll = error.kind === 'unavailable' || (works.length === 1 && !hadNoMemory);
    for (const work of works) {
      if (!work.isWanted || isOfAll || (hadNoMemory && works.length === 1)) {
        work.fail(toldOf(error));
        continue;
      }
      work.alone ||= !hadNoMemory;
      work.waitAgain(() => this.#leave(work));
      this.#line.add(work);
    }
  }

  #settle(): void {
    if (this.#running === 0 && this.#line.length === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Of a run of its own. */
  #bucketOf(work: AnyWork): RunSizes {
    return work.kind === 'encode' ? this.buckets.encode(work.sizes, work.held) : this.buckets.rank(work.sizes);
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

/** What the caller is told: that graphs do not run as they should is no fault of theirs, nor of what they set. */
function toldOf(error: OnepassError): OnepassError {
  if (isOutOfMemory(error)) return unavailable('the device has no memory for this run', error);
  return error.kind === 'startup' ? trunkDefect(error.message) : error;
}

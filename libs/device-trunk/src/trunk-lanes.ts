import { OnepassError, overloaded, unavailable } from '@onepass/errors';
import { abortReason, isOutOfMemory, type RunTerms } from '@onepass/inference';
import { AskLine } from './ask-line.js';
import { type BatchDeps, type Played, sumOfWork } from './batch-run.js';
import type { Buckets } from './buckets.js';
import { encodeBatch } from './encode-batch.js';
import { Forecast } from './forecast.js';
import { type Batch, planBatch } from './plan-batch.js';
import { rankBatch } from './rank-batch.js';
import type { EncodeWork, RankWork } from './trunk-ask.js';
import { trunkDefect } from './trunk-defect.js';
import { keyOf, kindOf, type RunSizes } from './trunk-runs.js';

export interface TrunkLanesOptions {
  /** Runs at one time. */
  readonly lanes: number;
  /** Asks that may wait. */
  readonly maxQueued: number;
  /** The clock of deadlines, in ms. */
  readonly epochNow: () => number;
}

export interface TrunkLanesStats {
  /** Asks. */
  readonly waiting: { readonly encode: number; readonly rank: number };
  /** Runs. */
  readonly running: number;
  readonly runs: number;
  /** Asks that runs had. */
  readonly asked: number;
  /** Share of the runs' work that was padding. */
  readonly padding: number;
}

type AnyWork = EncodeWork | RankWork;

/** Asks in line, and the runs that they become: one in each lane at a time. */
export class TrunkLanes {
  readonly #deps: BatchDeps;
  readonly #buckets: Buckets;
  readonly #options: TrunkLanesOptions;
  readonly #line = new AskLine<AnyWork>();
  /** Persons of whom an encode is under way. */
  readonly #encoding = new Set<string>();
  readonly #forecast = new Forecast<'encode' | 'rank'>();
  readonly #onIdle: (() => void)[] = [];
  #runningMs = 0;
  #running = 0;
  #isPlanning = false;
  #isClosing = false;
  #counts = { runs: 0, asked: 0, work: 0, done: 0 };

  constructor(deps: BatchDeps, buckets: Buckets, options: TrunkLanesOptions) {
    this.#deps = deps;
    this.#buckets = buckets;
    this.#options = options;
  }

  stats(): TrunkLanesStats {
    const { runs, asked, work, done } = this.#counts;
    const padding = done === 0 ? 0 : 1 - work / done;
    const waiting = { encode: 0, rank: 0 };
    for (const { kind } of this.#line.inTurn()) waiting[kind]++;
    return { waiting, running: this.#running, runs, asked, padding };
  }

  /** Nothing is admitted any more; resolves when nothing runs and nothing waits. */
  async close(): Promise<void> {
    this.#isClosing = true;
    while (this.#running > 0 || this.#line.length > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  /** @throws OnepassError `unavailable` when it is closing */
  requireOpen(): void {
    if (this.#isClosing) throw unavailable('the trunk is closing');
  }

  /**
   * Its turn comes after this: whoever calls must wait for its answer at once.
   * @throws OnepassError `overloaded`, `unavailable`, or the signal's reason
   */
  admit(work: AnyWork, { signal }: RunTerms): void {
    if (signal?.aborted) throw abortReason(signal);
    this.requireOpen();
    const refusal = this.#refusal(work);
    if (refusal !== undefined) throw refusal;
    this.#line.add(work);
    this.#plan();
  }

  /** Why it cannot wait. */
  #refusal(work: AnyWork): OnepassError | undefined {
    const { priority, deadlineMs } = work;
    if (this.#running < this.#options.lanes && this.#line.length === 0) return undefined;
    const waitMs = this.#waitMs(work);
    const ownMs = this.#forecast.runMs(work.kind, keyOf(this.#bucketOf(work)), work.work);
    const remainingMs = deadlineMs - this.#options.epochNow();
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
  join(work: AnyWork, terms: RunTerms): void {
    const isWaiting = this.#line.remove(work);
    work.join(terms, this.#options.epochNow());
    if (isWaiting) this.#line.add(work);
  }

  /** Until what runs, and what has its turn before this one, is done. */
  #waitMs(work: AnyWork): number {
    let ms = this.#runningMs;
    for (const { kind, work: size } of this.#line.ahead(work)) ms += this.#forecast.shareMs(kind, size);
    return ms / this.#options.lanes;
  }

  /** Nobody waits for it any more. */
  leave(work: AnyWork): void {
    this.#line.remove(work);
    this.#settle();
  }

  /** Once all that comes at this moment has come: then they may share a run. */
  #plan(): void {
    if (this.#isPlanning) return;
    this.#isPlanning = true;
    queueMicrotask(() => {
      this.#isPlanning = false;
      while (this.#running < this.#options.lanes && this.#start());
      this.#settle();
    });
  }

  /** @returns false: nobody who waits may run now */
  #start(): boolean {
    const batch = planBatch<AnyWork>(this.#waiting(), {
      buckets: this.#buckets,
      isFree: ({ kind, person }) => kind === 'rank' || !this.#encoding.has(person),
      allows: (_, sizes) => this.#deps.runs.allows(sizes),
    });
    if (batch === undefined) return false;
    const works = batch.entries.flat();
    this.#line.take(works);
    void this.#run(batch, works);
    return true;
  }

  /** Everybody in the order of turns, without those whose time is over. */
  #waiting(): AnyWork[] {
    const now = this.#options.epochNow();
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
    return batch.kind === 'encode'
      ? encodeBatch(this.#deps, works as EncodeWork[], batch.sizes, stop.signal)
      : rankBatch(this.#deps, batch.entries as RankWork[][], batch.sizes, stop.signal);
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
      done: done + this.#deps.runs.workOf(ran.sizes),
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
      work.waitAgain(() => this.leave(work));
      this.#line.add(work);
    }
  }

  #settle(): void {
    if (this.#running === 0 && this.#line.length === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Of a run of its own. */
  #bucketOf(work: AnyWork): RunSizes {
    return work.kind === 'encode' ? this.#buckets.encode(work.sizes, work.held) : this.#buckets.rank(work.sizes);
  }
}

/** What the caller is told: that graphs do not run as they should is no fault of theirs, nor of what they set. */
function toldOf(error: OnepassError): OnepassError {
  if (isOutOfMemory(error)) return unavailable('the device has no memory for this run', error);
  return error.kind === 'startup' ? trunkDefect(error.message) : error;
}

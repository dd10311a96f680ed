import { PRIORITIES, type Priority } from '@onepass/admission';
import { OnepassError } from '@onepass/errors';
import { abortReason, type RunTerms, type RunTiming } from '@onepass/inference';
import type { KvReference, SlotState } from '@onepass/kv';
import type { Placed } from './ask-line.js';
import type { EncodeSizes, RankSizes } from './buckets.js';
import type { AskedEncode, AskedRank } from './plan-batch.js';
import type { Slate } from './run-inputs.js';

/** One person's new tokens. */
export interface EncodeAsk {
  /**
   * Leased, with room for all rows. Absent = nothing is kept: a pass over rows of the request alone, from 0 and without new tokens, where there is a graph for
   * people without a past.
   */
  readonly state?: SlotState | undefined;
  /** Tokens that the slot holds, behind which the rows belong. */
  readonly from: number;
  /** [n x F], n at least 1: the new tokens, then rows of the request itself, of which only the hidden state is wanted. */
  readonly rows: Float32Array;
  /** How many of the rows are new tokens. */
  readonly tokens: number;
  /** Sequence and hash of the history that the slot's tokens are made from, with these. */
  readonly sequence: number;
  readonly hash: bigint;
}

/** One request's candidates on a person's past; a reference of length 0 is an empty past. */
export interface RankAsk extends Slate {
  readonly kv: KvReference;
}

export interface TrunkTiming extends RunTiming {
  /** How many shared the run: people, or slates. */
  readonly shared: number;
}

export interface EncodeResult {
  /** [W], of the last row, behind the final norm. Not finite where what was asked with gives no numbers. */
  readonly hidden: Float32Array;
  /** To everything that is published of the slot now; of length 0 where nothing is kept. */
  readonly reference: KvReference;
  readonly timing: TrunkTiming;
}

export interface RankResult {
  /** [k x A]. Not finite where a candidate's own embedding gives no numbers; nowhere, where the contexts give none. */
  readonly probabilities: Float32Array;
  readonly timing: TrunkTiming;
}

/** Whoever waits for an answer. */
class Caller<R> {
  /** Why it does not wait any more. */
  gone: OnepassError | undefined;
  readonly resolve: (result: R) => void;
  readonly reject: (error: OnepassError) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;

  constructor(
    resolve: (result: R) => void,
    reject: (error: OnepassError) => void,
    signal?: AbortSignal,
    left = () => {},
  ) {
    this.resolve = resolve;
    this.reject = reject;
    this.#signal = signal;
    this.#onAbort = () => {
      this.gone = abortReason(signal);
      left();
    };
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  end(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}

/** One piece of work in the line or under way, for one caller, or for several who want the same. */
abstract class Work<R> implements Placed {
  priority: Priority;
  dueMs: number;
  /** Infinity = none. */
  deadlineMs: number;
  readonly askedAt = performance.now();
  alone = false;
  /** Whether its run has been put together; until then, who leaves is told at once. */
  #isUnderWay = false;
  /** Called when the last caller has left. */
  #onUnwanted: () => void;
  readonly #callers = new Set<Caller<R>>();

  constructor(terms: RunTerms, now: number, onUnwanted: () => void) {
    this.priority = terms.priority ?? 'interactive';
    this.deadlineMs = terms.deadlineMs ?? Number.POSITIVE_INFINITY;
    this.dueMs = Math.min(this.deadlineMs, now + PATIENCE_MS);
    this.#onUnwanted = onUnwanted;
  }

  /** Not while it waits in a line: its place changes. It is in the hurry of who is in most, and has the time of who has most. */
  join(terms: RunTerms, now: number): void {
    const { priority = 'interactive', deadlineMs = Number.POSITIVE_INFINITY } = terms;
    if (PRIORITIES.indexOf(priority) < PRIORITIES.indexOf(this.priority)) this.priority = priority;
    this.dueMs = Math.min(this.dueMs, deadlineMs, now + PATIENCE_MS);
    this.deadlineMs = Math.max(this.deadlineMs, deadlineMs);
  }

  /** Its run is put together. */
  begin(onUnwanted: () => void): void {
    this.#isUnderWay = true;
    this.#onUnwanted = onUnwanted;
  }

  /** Its run failed, and it waits for another: who has left meanwhile is told. */
  waitAgain(onUnwanted: () => void): void {
    this.#isUnderWay = false;
    this.#onUnwanted = onUnwanted;
    for (const caller of this.#callers) if (caller.gone !== undefined) this.#reject(caller, caller.gone);
  }

  /** Nobody else can want it any more once this is false: it has its answer, or is not worked on. */
  get isWanted(): boolean {
    for (const { gone } of this.#callers) if (gone === undefined) return true;
    return false;
  }

  /** @throws OnepassError why it failed, or the signal was aborted: at once while it waits, when the device has let go of it while it is under way */
  answer(signal: AbortSignal | undefined): Promise<R> {
    return new Promise((resolve, reject) => {
      const caller: Caller<R> = new Caller(resolve, reject, signal, () => {
        if (!this.#isUnderWay) this.#reject(caller, caller.gone!);
        if (!this.isWanted) this.#onUnwanted();
      });
      this.#callers.add(caller);
    });
  }

  succeed(result: R): void {
    for (const caller of this.#callers) {
      if (caller.gone !== undefined) this.#reject(caller, caller.gone);
      else {
        this.#end(caller);
        caller.resolve(result);
      }
    }
  }

  fail(error: unknown): void {
    for (const caller of this.#callers) this.#reject(caller, caller.gone ?? OnepassError.from(error));
  }

  #reject(caller: Caller<R>, error: OnepassError): void {
    this.#end(caller);
    caller.reject(error);
  }

  #end(caller: Caller<R>): void {
    caller.end();
    this.#callers.delete(caller);
  }
}

/** Without a deadline, work is due as if it had this one: whoever comes later with a near deadline overtakes it no longer than that. */
const PATIENCE_MS = 1_000;

let nobodies = 0;

/** People without a key that tells them apart. */
const nobody = () => `nobody ${++nobodies}`;

export class EncodeWork extends Work<EncodeResult> implements AskedEncode {
  readonly kind = 'encode';
  readonly ask: EncodeAsk;
  readonly person: string;
  readonly count: number;
  readonly work: number;
  /** What the last row came to, where new tokens have no numbers beside rows of the request: they may have them alone. */
  spoilt: Float32Array | undefined;
  readonly #sizes: () => EncodeSizes;

  /** @param sizes what a run of its own would have to have; asked for when its turn comes */
  constructor(ask: EncodeAsk, of: { count: number; work: number; sizes: () => EncodeSizes }, ...rest: WorkTerms) {
    super(...rest);
    this.ask = ask;
    this.person = ask.state?.personKey ?? nobody();
    this.count = of.count;
    this.work = of.work;
    this.#sizes = of.sizes;
  }

  get held(): number {
    return this.ask.from;
  }

  get sizes(): EncodeSizes {
    return this.#sizes();
  }
}

export class RankWork extends Work<RankResult> implements AskedRank {
  readonly kind = 'rank';
  readonly ask: RankAsk;
  readonly person: string;
  readonly past: string;
  readonly work: number;
  readonly sizes: RankSizes;

  constructor(ask: RankAsk, of: { work: number; sizes: RankSizes }, ...rest: WorkTerms) {
    super(...rest);
    const { slot, generation, length, personKey } = ask.kv;
    this.ask = ask;
    // An empty past is nobody's.
    this.person = length === 0 ? nobody() : Buffer.from(personKey).toString('hex');
    this.past = `${slot}:${generation}:${length}`;
    this.work = of.work;
    this.sizes = of.sizes;
  }
}

type WorkTerms = [terms: RunTerms, now: number, onUnwanted: () => void];

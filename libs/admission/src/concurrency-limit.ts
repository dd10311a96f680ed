/** How one call went: all of it in time, or less because time ran out. */
export type Outcome = 'whole' | 'late';

export interface LimitOptions {
  /** Before anything is known. */
  readonly initial: number;
  readonly minimum: number;
  readonly maximum: number;
  /** What a call may take on average, in ms: beyond that more calls at once only make each of them wait inside. */
  readonly targetMs: number;
}

/** Calls that a round of measuring holds at least; else as many as may be in flight. */
const ROUND = 10;
/** A call that takes twice what it took at its best shares what it needs; where that is over the target, the target would be out of reach. */
const TOLERANCE = 2;
/**
 * How far the best time drifts, a round, towards what is seen with no more in flight than the least limit. Not with more: the time would
 * follow the limit, and the limit the time, up to the deadline.
 */
const FORGET = 0.1;
/** Steps down. */
const LEAST_CUT = 0.9;
const MOST_CUT = 0.5;
/**
 * When every call of a round is late a stage has stopped, or the machine is far too slow: fewer calls at once cure only the second, and
 * while a stage is down each of these serves a page without it.
 */
const ALL_LATE_FLOOR = 8;
const SMOOTHING = 0.1;
/** `most` is how many were in flight at one time. */
const EMPTY = { calls: 0, late: 0, sumMs: 0, most: 0 };

/**
 * How many calls may be in flight: one more a round while they keep to the target, fewer in proportion when they do not, and at once when
 * some were late (additive increase, multiplicative decrease).
 */
export class ConcurrencyLimit {
  readonly #options: LimitOptions;
  #limit: number;
  #serviceMs: number;
  #spreadMs: number;
  #bestMs: number;
  #round = EMPTY;

  constructor(options: LimitOptions) {
    this.#options = options;
    this.#limit = options.initial;
    this.#serviceMs = options.targetMs;
    this.#spreadMs = options.targetMs / 4;
    this.#bestMs = options.targetMs / TOLERANCE;
  }

  get value(): number {
    return Math.floor(this.#limit);
  }

  /** What a call takes: moving average, in ms. */
  get serviceMs(): number {
    return this.#serviceMs;
  }

  /** What nearly every call takes: two mean deviations above the average, as TCP times its retransmissions. */
  get usualMostMs(): number {
    return this.#serviceMs + 2 * this.#spreadMs;
  }

  /** @param inFlight calls when it ended, itself too */
  finished(serviceMs: number, outcome: Outcome, inFlight: number): void {
    this.#spreadMs += (Math.abs(serviceMs - this.#serviceMs) - this.#spreadMs) * SMOOTHING;
    this.#serviceMs += (serviceMs - this.#serviceMs) * SMOOTHING;
    const { calls, late, sumMs, most } = this.#round;
    this.#round = {
      calls: calls + 1,
      late: late + Number(outcome === 'late'),
      sumMs: sumMs + serviceMs,
      most: Math.max(most, inFlight),
    };
    if (calls + 1 >= Math.max(ROUND, this.#limit)) this.#close();
  }

  #close(): void {
    const { calls, late, sumMs, most } = this.#round;
    this.#round = EMPTY;
    const meanMs = sumMs / calls;
    if (meanMs < this.#bestMs) this.#bestMs = meanMs;
    else if (most <= this.#options.minimum) this.#bestMs += (meanMs - this.#bestMs) * FORGET;
    const boundMs = Math.max(this.#options.targetMs, TOLERANCE * this.#bestMs);
    if (late > 0 || meanMs > boundMs) {
      const floor = late === calls ? Math.min(ALL_LATE_FLOOR, this.#limit) : 1;
      this.#set(Math.max(floor, this.#limit * Math.max(MOST_CUT, Math.min(LEAST_CUT, boundMs / meanMs))));
    } else if (most >= this.value) this.#set(this.#limit + 1);
  }

  #set(limit: number): void {
    const { minimum, maximum } = this.#options;
    this.#limit = Math.min(maximum, Math.max(minimum, limit));
  }
}

/** How much one caller may ask of one process. */
export interface Limits {
  /** Calls a second, on average. Absent: any number. */
  readonly requestsPerSecond?: number | undefined;
  /** Calls that may come at once after a pause. Absent: one second's worth, at least 1. */
  readonly burst?: number | undefined;
  /** Calls under way at one time. Absent: any number. */
  readonly concurrent?: number | undefined;
}

/** Why a call is not let in now, and after how many ms it may be. */
export interface Refusal {
  readonly reason: 'rate_limit' | 'concurrency_limit';
  readonly retryAfterMs: number;
}

/** Nobody knows when a call under way will end. */
const CONCURRENCY_RETRY_MS = 100;

/** The calls of one caller: a bucket that `requestsPerSecond` tokens flow into, each call takes one; and a count of those under way. */
export class Limiter {
  #limits: Limits;
  #tokens: number;
  #filledAtMs: number;
  #underWay = 0;

  /** @param nowMs of a clock that never runs backwards, as in all methods */
  constructor(limits: Limits, nowMs: number) {
    this.#limits = limits;
    this.#tokens = burstOf(limits);
    this.#filledAtMs = nowMs;
  }

  /** What has been used so far still counts. */
  change(limits: Limits, nowMs: number): void {
    this.#fill(nowMs);
    this.#limits = limits;
    this.#tokens = Math.min(this.#tokens, burstOf(limits));
  }

  /** Undefined: the call is let in, and `release` is to be called once it has been answered. A refused call uses nothing up. */
  take(nowMs: number): Refusal | undefined {
    const { concurrent = Infinity, requestsPerSecond } = this.#limits;
    if (this.#underWay >= concurrent) return { reason: 'concurrency_limit', retryAfterMs: CONCURRENCY_RETRY_MS };
    this.#fill(nowMs);
    if (requestsPerSecond !== undefined) {
      if (this.#tokens < 1)
        return { reason: 'rate_limit', retryAfterMs: ((1 - this.#tokens) / requestsPerSecond) * 1000 };
      this.#tokens -= 1;
    }
    this.#underWay += 1;
    return undefined;
  }

  release(): void {
    this.#underWay -= 1;
  }

  #fill(nowMs: number): void {
    const flowed = ((nowMs - this.#filledAtMs) / 1000) * (this.#limits.requestsPerSecond ?? 0);
    this.#tokens = Math.min(burstOf(this.#limits), this.#tokens + flowed);
    this.#filledAtMs = nowMs;
  }
}

function burstOf({ burst, requestsPerSecond = 0 }: Limits): number {
  return burst ?? Math.max(1, requestsPerSecond);
}

import { OnepassError } from '@onepass/errors';

interface Waiting {
  start(lane: number): void;
}

/** When work is given up, and what is known of its time. */
export interface WorkTerms {
  readonly signal?: AbortSignal | undefined;
  /** Epoch ms; absent = none. */
  readonly deadlineMs?: number | undefined;
  /** How long it is likely to run. */
  readonly expectedMs?: number;
}

/**
 * At most `lanes` pieces of work at one time, the others in order of asking. Work is given the number of its lane (0..lanes-1),
 * which no other work has meanwhile.
 */
export class RunQueue {
  readonly #lanes: number;
  readonly #free: number[];
  readonly #waiting = new Set<Waiting>();
  readonly #onIdle: (() => void)[] = [];
  /** Expected time of all work that runs or waits. */
  #backlogMs = 0;

  constructor(lanes: number) {
    this.#lanes = lanes;
    this.#free = Array.from({ length: lanes }, (_, lane) => lane);
  }

  get running(): number {
    return this.#lanes - this.#free.length;
  }

  get queued(): number {
    return this.#waiting.size;
  }

  /**
   * @throws OnepassError why the signal was aborted, when that happened before the work's turn; `overloaded` at once when the work would
   * have to wait and is not likely to be done by its deadline: refusing it early keeps the deadlines of what was admitted.
   */
  schedule<T>(work: (lane: number) => Promise<T>, terms: WorkTerms = {}): Promise<T> {
    const { signal, expectedMs = 0 } = terms;
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    const lane = this.#free.pop();
    const late = lane === undefined && this.#tooLate(terms);
    if (late) return Promise.reject(late);
    this.#backlogMs += expectedMs;
    if (lane !== undefined) return this.#start(lane, work, expectedMs);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(waiting);
        this.#backlogMs -= expectedMs;
        reject(abortReason(signal));
      };
      const waiting: Waiting = {
        start: (turn) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(this.#start(turn, work, expectedMs));
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiting);
    });
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    if (this.running > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  async #start<T>(lane: number, work: (lane: number) => Promise<T>, expectedMs: number): Promise<T> {
    try {
      return await work(lane);
    } finally {
      this.#backlogMs -= expectedMs;
      this.#next(lane);
    }
  }

  #tooLate({ deadlineMs = Number.POSITIVE_INFINITY, expectedMs = 0 }: WorkTerms): OnepassError | undefined {
    const waitMs = this.#backlogMs / this.#lanes;
    const remainingMs = deadlineMs - Date.now();
    if (waitMs + expectedMs <= remainingMs) return undefined;
    return new OnepassError(
      { kind: 'overloaded', retryAfterMs: Math.ceil(waitMs) },
      `${this.queued} graph runs wait: done in ${Math.ceil(waitMs + expectedMs)} ms, asked for in ${Math.max(0, Math.floor(remainingMs))} ms`,
    );
  }

  #next(lane: number): void {
    for (const waiting of this.#waiting) {
      this.#waiting.delete(waiting);
      waiting.start(lane);
      return;
    }
    this.#free.push(lane);
    if (this.running === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}

/** Why a signal was aborted, as one of our errors. */
export function abortReason(signal: AbortSignal | undefined): OnepassError {
  const reason: unknown = signal?.reason;
  return reason instanceof OnepassError
    ? reason
    : new OnepassError({ kind: 'cancelled' }, 'the caller went away', { cause: reason });
}

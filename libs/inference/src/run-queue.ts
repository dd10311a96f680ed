import { PRIORITIES, type Priority, WaitingLine } from '@onepass/admission';
import { OnepassError, overloaded } from '@onepass/errors';

interface Waiting {
  readonly expectedMs: number;
  readonly priority: Priority;
  start(lane: number): void;
  drop(why: OnepassError): void;
}

/** When work is given up, and what is known of its time. */
export interface WorkTerms {
  readonly signal?: AbortSignal | undefined;
  /** Reading of the queue's clock; absent = none. */
  readonly deadlineMs?: number | undefined;
  /** How long it is likely to run. */
  readonly expectedMs?: number;
  /** Absent = interactive. */
  readonly priority?: Priority | undefined;
  /** It is never refused, however many wait: whoever asks sees to it that it is few. */
  readonly mustRun?: boolean;
}

export interface RunQueueOptions {
  /** Pieces of work at one time. */
  readonly lanes: number;
  /** Pieces that may wait. */
  readonly maxQueued: number;
  /** The clock of deadlines, in ms; absent = epoch time. */
  readonly now?: () => number;
}

/**
 * At most `lanes` pieces of work at one time, the others by priority and in order of asking. Work is given the number of its lane
 * (0..lanes-1), which no other work has meanwhile.
 */
export class RunQueue {
  readonly #options: RunQueueOptions;
  readonly #now: () => number;
  readonly #free: number[];
  readonly #line = new WaitingLine<Waiting>();
  readonly #onIdle: (() => void)[] = [];
  /** Expected time of all work under way, and of what waits by priority. */
  #runningMs = 0;
  readonly #waitingMs = PRIORITIES.map(() => 0);
  #started = 0;

  constructor(options: RunQueueOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#free = Array.from({ length: options.lanes }, (_, lane) => lane);
  }

  get running(): number {
    return this.#options.lanes - this.#free.length;
  }

  get queued(): number {
    return this.#line.length;
  }

  /** Pieces of work that began so far. */
  get started(): number {
    return this.#started;
  }

  /**
   * @throws OnepassError why the signal was aborted, when that happened before the work's turn; `overloaded` when the work would
   * have to wait and is not likely to be done by its deadline, or when no more may wait: at once, except where a higher priority takes
   * its place. Refusing early keeps the deadlines of what was admitted.
   */
  schedule<T>(work: (lane: number) => Promise<T>, terms: WorkTerms = {}): Promise<T> {
    const { signal, expectedMs = 0, priority = 'interactive', mustRun = false } = terms;
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    const lane = this.#free.pop();
    if (lane !== undefined) return this.#start(lane, work, expectedMs);
    const refusal = mustRun ? undefined : (this.#tooLate(terms) ?? this.#makeRoom(priority));
    if (refusal) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#line.remove(waiting, priority);
        this.#waits(waiting, -1);
        reject(abortReason(signal));
      };
      const waiting: Waiting = {
        expectedMs,
        priority,
        start: (turn) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(this.#start(turn, work, expectedMs));
        },
        drop: (why) => {
          signal?.removeEventListener('abort', onAbort);
          reject(why);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#line.add(waiting, priority);
      this.#waits(waiting, 1);
    });
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    if (this.running > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  async #start<T>(lane: number, work: (lane: number) => Promise<T>, expectedMs: number): Promise<T> {
    this.#started += 1;
    this.#runningMs += expectedMs;
    try {
      return await work(lane);
    } finally {
      this.#runningMs -= expectedMs;
      this.#next(lane);
    }
  }

  #waits({ expectedMs, priority }: Waiting, sign: 1 | -1): void {
    this.#waitingMs[PRIORITIES.indexOf(priority)]! += sign * expectedMs;
  }

  /** Until what runs, and what waits with at least this priority, is done. */
  #waitMs(priority: Priority): number {
    const ahead = this.#waitingMs.slice(0, PRIORITIES.indexOf(priority) + 1);
    return ahead.reduce((sum, ms) => sum + ms, this.#runningMs) / this.#options.lanes;
  }

  #tooLate(terms: WorkTerms): OnepassError | undefined {
    const { deadlineMs = Number.POSITIVE_INFINITY, expectedMs = 0, priority = 'interactive' } = terms;
    const waitMs = this.#waitMs(priority);
    const remainingMs = deadlineMs - this.#now();
    if (waitMs + expectedMs <= remainingMs) return undefined;
    return overloaded(
      Math.ceil(waitMs),
      `${this.queued} graph runs wait: done in ${Math.ceil(waitMs + expectedMs)} ms, asked for in ${Math.max(0, Math.floor(remainingMs))} ms`,
    );
  }

  /** Why there is no room for one more of this priority. */
  #makeRoom(priority: Priority): OnepassError | undefined {
    if (this.queued < this.#options.maxQueued) return undefined;
    const why = overloaded(Math.ceil(this.#waitMs('batch')), `${this.queued} graph runs wait, no more may`);
    const displaced = this.#line.displace(priority);
    if (displaced === undefined) return why;
    this.#waits(displaced, -1);
    displaced.drop(why);
    return undefined;
  }

  #next(lane: number): void {
    const waiting = this.#line.take();
    if (waiting !== undefined) {
      this.#waits(waiting, -1);
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

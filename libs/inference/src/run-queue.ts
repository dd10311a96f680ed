import { OnepassError } from '@onepass/errors';

interface Waiting {
  start(lane: number): void;
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

  /** @throws OnepassError why the signal was aborted, when that happened before the work's turn. */
  schedule<T>(work: (lane: number) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    const lane = this.#free.pop();
    if (lane !== undefined) return this.#start(lane, work);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(waiting);
        reject(abortReason(signal));
      };
      const waiting: Waiting = {
        start: (turn) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(this.#start(turn, work));
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

  async #start<T>(lane: number, work: (lane: number) => Promise<T>): Promise<T> {
    try {
      return await work(lane);
    } finally {
      this.#next(lane);
    }
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

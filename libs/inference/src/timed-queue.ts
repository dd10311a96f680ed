import type { RunTerms } from './engine.js';
import type { RunQueue } from './run-queue.js';

const USUAL_WEIGHT = 0.1;

/** Runs of one kind through a queue that all share: how long they usually take is what the queue predicts with. */
export class TimedQueue {
  readonly #queue: RunQueue;
  /** Moving average of what a run takes, from 0: nothing is refused before something is known. */
  #usualMs = 0;

  constructor(queue: RunQueue) {
    this.#queue = queue;
  }

  /** As `RunQueue.schedule`; `work` is told how many microseconds it waited, and answers how many it ran beside its value. */
  schedule<T extends { readonly runMicros: number }>(
    work: (lane: number, queueMicros: number) => Promise<T>,
    { signal, deadlineMs, priority }: RunTerms = {},
  ): Promise<T> {
    const asked = performance.now();
    const timed = async (lane: number): Promise<T> => {
      const done = await work(lane, micros(performance.now() - asked));
      this.#usualMs += (done.runMicros / 1000 - this.#usualMs) * USUAL_WEIGHT;
      return done;
    };
    return this.#queue.schedule(timed, { signal, deadlineMs, priority, expectedMs: this.#usualMs });
  }
}

export function micros(milliseconds: number): number {
  return Math.round(milliseconds * 1000);
}

import type { RunTerms } from '../engine.js';
import type { RunQueue } from '../run-queue.js';

const USUAL_WEIGHT = 0.1;

/** Runs of one shape through a queue that all share: how long they usually take is what the queue predicts with. */
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
      const done = await work(lane, Math.round((performance.now() - asked) * 1000));
      this.#usualMs += (done.runMicros / 1000 - this.#usualMs) * USUAL_WEIGHT;
      return done;
    };
    return this.#queue.schedule(timed, { signal, deadlineMs, priority, expectedMs: this.#usualMs });
  }
}

/** Runs `work` while it has all lanes, one such piece of work after the other. */
export class WholeQueue {
  readonly #queue: RunQueue;
  readonly #lanes: number;
  #last: Promise<unknown> = Promise.resolve();

  constructor(queue: RunQueue, lanes: number) {
    this.#queue = queue;
    this.#lanes = lanes;
  }

  /** @throws OnepassError `overloaded` when no more may wait; what `work` throws */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => this.#hold(work));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #hold<T>(work: () => Promise<T>): Promise<T> {
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const lanes = Array.from(
      { length: this.#lanes },
      () =>
        new Promise<void>((resolve, reject) => {
          this.#queue
            .schedule(() => {
              resolve();
              return released;
            })
            .catch(reject);
        }),
    );
    try {
      await Promise.all(lanes);
      return await work();
    } finally {
      release();
    }
  }
}

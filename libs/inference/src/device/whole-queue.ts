import type { RunQueue } from '../run-queue.js';

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

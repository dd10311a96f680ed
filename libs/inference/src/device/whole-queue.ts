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

  /** Never refused, since what was begun is undone here, and people are forgotten. @throws what `work` throws */
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
            .schedule(
              () => {
                resolve();
                return released;
              },
              { mustRun: true },
            )
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

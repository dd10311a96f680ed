import { OnepassError } from '@onepass/errors';

/** Work of one person in order of asking, one piece at a time; different persons do not wait for each other. */
export class PersonQueue {
  readonly #last = new Map<string, Promise<void>>();

  /** Persons with work under way or waiting. */
  get size(): number {
    return this.#last.size;
  }

  /** @throws OnepassError the signal's reason when it is aborted before the work's turn; the work then never runs. */
  async run<T>(person: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(person);
    let done!: () => void;
    const mine = new Promise<void>((resolve) => {
      done = resolve;
    });
    // Who gives up early still holds its place until those before it are through.
    const turn = before === undefined ? mine : before.then(() => mine);
    this.#last.set(person, turn);
    void turn.then(() => {
      if (this.#last.get(person) === turn) this.#last.delete(person);
    });
    try {
      if (before !== undefined) await unlessAborted(before, signal);
      signal.throwIfAborted();
      return await work();
    } finally {
      done();
    }
  }
}

function unlessAborted(turn: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(OnepassError.from(signal.reason));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    void turn.then(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}

import { setTimeout } from 'node:timers/promises';
import { unavailable } from '@onepass/errors';

/** How long a write may wait for others of the same key, in ms. */
const PATIENCE_MS = 2_000;

/**
 * Runs the writes of one key one after another, so that those of one process do not spoil each other's attempts; those of
 * other processes still may.
 */
export class OneAtATime {
  readonly #last = new Map<string, Promise<unknown>>();

  /**
   * @param attempt answers undefined when another process was faster; it is then repeated
   * @throws OnepassError `unavailable` when its turn or its success did not come in time; then nothing was written
   */
  run<T>(key: string, attempt: () => Promise<T | undefined>): Promise<T> {
    const until = Date.now() + PATIENCE_MS;
    const mine = (this.#last.get(key) ?? Promise.resolve()).then(() => repeat(attempt, until));
    const settled: Promise<void> = mine.then(
      () => this.#forget(key, settled),
      () => this.#forget(key, settled),
    );
    this.#last.set(key, settled);
    return mine;
  }

  #forget(key: string, settled: Promise<unknown>): void {
    if (this.#last.get(key) === settled) this.#last.delete(key);
  }
}

async function repeat<T>(attempt: () => Promise<T | undefined>, until: number): Promise<T> {
  for (let tries = 1; Date.now() < until; tries++) {
    const result = await attempt();
    if (result !== undefined) return result;
    await setTimeout(Math.random() * Math.min(tries, 20));
  }
  throw unavailable('too many writes of one person at one time');
}

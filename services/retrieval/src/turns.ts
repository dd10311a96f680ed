/**
 * One piece of work a turn of the event loop. Many requests arrive in one turn under load; done one after another without a break,
 * their searches would hold up health checks, deadlines and replies for the sum of their times.
 */
export class Turns {
  #taken = false;
  readonly #waiting: (() => void)[] = [];

  /** Resolves when it is the caller's turn, at once when nobody had this one. First come, first served. */
  async next(): Promise<void> {
    if (this.#taken) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#taken = true;
    setImmediate(this.#pass);
  }

  readonly #pass = (): void => {
    const next = this.#waiting.shift();
    this.#taken = next !== undefined;
    if (next === undefined) return;
    setImmediate(this.#pass);
    next();
  };
}

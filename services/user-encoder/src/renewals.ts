/** Between two looks whether there is nothing else to do. */
const LOOK_MS = 50;

/**
 * Persons whose KV is near what an encode makes, not equal to it: it cannot be appended to. One after the other they are encoded anew while nothing
 * else wants the graphs. Those that wait are as many as there are slots at most, since each has one.
 */
export class Renewals {
  readonly #waiting = new Set<string>();
  readonly #isIdle: () => boolean;
  readonly #renew: (person: string) => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param renew must not reject */
  constructor(isIdle: () => boolean, renew: (person: string) => Promise<void>) {
    this.#isIdle = isIdle;
    this.#renew = renew;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(person: string): void {
    this.#waiting.add(person);
    this.#schedule();
  }

  delete(person: string): void {
    this.#waiting.delete(person);
  }

  /** Nothing is begun any more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#closed || this.#timer !== undefined || this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => void this.#look(), LOOK_MS).unref();
  }

  async #look(): Promise<void> {
    for (const person of this.#waiting) {
      if (this.#closed || !this.#isIdle()) break;
      this.#waiting.delete(person);
      await this.#renew(person);
    }
    this.#timer = undefined;
    this.#schedule();
  }
}

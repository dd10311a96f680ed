/** What one role has on the device, counted as its asks go there and come back. */
export class RoleLoad {
  readonly #waiting: () => number;
  #started = 0;
  #inFlight = 0;

  /** @param waiting of this role's asks, how many wait for a run */
  constructor(waiting: () => number) {
    this.#waiting = waiting;
  }

  get started(): number {
    return this.#started;
  }

  get queued(): number {
    return Math.min(this.#waiting(), this.#inFlight);
  }

  get running(): number {
    return this.#inFlight - this.queued;
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#started++;
    this.#inFlight++;
    try {
      return await work();
    } finally {
      this.#inFlight--;
    }
  }
}

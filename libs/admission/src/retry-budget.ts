export interface RetryBudgetOptions {
  /** Retries to calls, at most. */
  readonly share: number;
  /** Retries a second that are granted where the share of few calls would come to less. */
  readonly minimumPerSecond: number;
}

const SECONDS = 10;

/**
 * Whether a failed call may be tried again: over the last ten seconds, retries stay within a share of the calls. When a backend fails
 * everything, its load grows by that share and no more.
 */
export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  readonly #now: () => number;
  /** By second, for the last ten: calls, retries. */
  readonly #calls = new Float64Array(SECONDS);
  readonly #retries = new Float64Array(SECONDS);
  #second = 0;

  /** @param now the clock, in ms */
  constructor(options: RetryBudgetOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  /** Retries that would be granted now. */
  get left(): number {
    this.#advance();
    const { share, minimumPerSecond } = this.#options;
    const shared = share * sum(this.#calls);
    const byShare = shared - sum(this.#retries);
    if (shared >= minimumPerSecond * SECONDS) return Math.max(0, byShare);
    return Math.max(0, byShare, minimumPerSecond - this.#retries[this.#second % SECONDS]!);
  }

  /** A first try. */
  called(): void {
    this.#advance();
    this.#calls[this.#second % SECONDS]! += 1;
  }

  /** Takes a retry from the budget, where one is left. */
  take(): boolean {
    if (this.left < 1) return false;
    this.#retries[this.#second % SECONDS]! += 1;
    return true;
  }

  #advance(): void {
    const second = Math.floor(this.#now() / 1000);
    for (let next = Math.max(this.#second + 1, second - SECONDS + 1); next <= second; next += 1) {
      this.#calls[next % SECONDS] = 0;
      this.#retries[next % SECONDS] = 0;
    }
    this.#second = Math.max(this.#second, second);
  }
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}

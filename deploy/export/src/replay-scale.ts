/** What comparing one slate gave. */
export interface SlateDifferences {
  /** Of every probability. */
  readonly probabilities: readonly number[];
  /** Of every utility; empty where the request had weights of its own. */
  readonly utilities: readonly number[];
  /** Whether the history has the hash that was recorded. */
  readonly sameHistory: boolean;
}

/** Differences of many slates. */
export class Scale {
  slates = 0;
  /** Slates whose history is not the one that was recorded. */
  otherHistories = 0;
  /** Slates whose request had utility weights of its own, so that only probabilities were compared. */
  ownWeights = 0;
  readonly probabilities = new Differences();
  readonly utilities = new Differences();

  add({ probabilities, utilities, sameHistory }: SlateDifferences): void {
    this.slates++;
    if (!sameHistory) this.otherHistories++;
    if (utilities.length === 0) this.ownWeights++;
    for (const difference of probabilities) this.probabilities.add(difference);
    for (const difference of utilities) this.utilities.add(difference);
  }
}

export class Differences {
  #max = 0;
  #sum = 0;
  #count = 0;

  add(difference: number): void {
    // NaN is the largest difference of all.
    this.#max = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(this.#max, difference);
    this.#sum += difference;
    this.#count++;
  }

  get max(): number {
    return this.#max;
  }

  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }
}

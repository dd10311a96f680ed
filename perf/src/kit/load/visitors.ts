/** Of those whose last page lies nearest to the wanted time, how many the more active ones are chosen among. */
const NEAR = 4;
const TRIES = 20;

/**
 * Who was there when. Chooses who comes next: somebody whose last page was about a given time ago, the more active the likelier, or
 * somebody who has not come yet. Person p's activity is (p + 1)^-skew.
 */
export class Visitors {
  /** Last page of everybody who came, oldest first. */
  readonly #times: number[] = [];
  readonly #persons: number[] = [];
  readonly #came = new Set<number>();
  /** Sums of activity up to each person. */
  readonly #sums: Float64Array;
  readonly #skew: number;
  readonly #random: () => number;
  #nextUnseen = 0;

  constructor(people: number, skew: number, random: () => number) {
    this.#sums = new Float64Array(people);
    this.#skew = skew;
    this.#random = random;
    let sum = 0;
    for (let person = 0; person < people; person += 1) {
      sum += this.#activity(person);
      this.#sums[person] = sum;
    }
  }

  /** `person` has a page now; times never run backwards. */
  came(person: number, atMs: number): void {
    this.#came.add(person);
    this.#times.push(atMs);
    this.#persons.push(person);
  }

  /** Somebody whose last page lies in [fromMs, toMs), near `wantedMs`; taken out, to come again. Undefined: nobody's does. */
  takeNear(wantedMs: number, fromMs: number, toMs: number): number | undefined {
    const first = this.#firstFrom(fromMs);
    const end = this.#firstFrom(toMs);
    if (first >= end) return undefined;
    const near = Math.min(Math.max(this.#firstFrom(wantedMs) - NEAR / 2, first), Math.max(first, end - NEAR));
    const places = Array.from({ length: Math.min(NEAR, end - near) }, (_, i) => near + i);
    const place = this.#choose(places);
    this.#times.splice(place, 1);
    return this.#persons.splice(place, 1)[0];
  }

  /** One of the people who has not come; undefined when all have. */
  takeUnseen(): number | undefined {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const person = this.#anybody();
      if (person !== undefined && !this.#came.has(person)) return person;
    }
    while (this.#came.has(this.#nextUnseen)) this.#nextUnseen += 1;
    return this.#nextUnseen < this.#sums.length ? this.#nextUnseen : undefined;
  }

  #choose(places: readonly number[]): number {
    const weights = places.map((place) => this.#activity(this.#persons[place]!));
    let left = this.#random() * weights.reduce((a, b) => a + b, 0);
    for (const [i, weight] of weights.entries()) {
      left -= weight;
      if (left < 0) return places[i]!;
    }
    return places.at(-1)!;
  }

  #anybody(): number | undefined {
    const total = this.#sums.at(-1);
    if (total === undefined) return undefined;
    return firstAtLeast(this.#sums, this.#random() * total);
  }

  #activity(person: number): number {
    return (person + 1) ** -this.#skew;
  }

  #firstFrom(ms: number): number {
    return firstAtLeast(this.#times, ms);
  }
}

/** Place of the first value that is not below `value`, in values that rise. */
function firstAtLeast(values: ArrayLike<number>, value: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * In which order persons give way: segmented LRU with a memory of who gave way. Who has come once is on probation and goes first, the oldest visit
 * first; who came again is protected, also if they gave way in between and are still remembered. So a pass over many people who come once, a
 * crawler's or a batch's, takes the places of those on probation alone. What it is worth: docs/decisions/017-who-gives-way.md.
 */
export class EvictionOrder {
  /** Persons, the one used longest ago first. */
  readonly #probation = new Set<string>();
  readonly #protected = new Set<string>();
  /** Who gave way, the one who did so first at the front. As many as there are places. */
  readonly #gone = new Set<string>();
  readonly #places: number;

  /** @param places of all persons together; half of them, rounded down, may be protected */
  constructor(places: number) {
    this.#places = places;
  }

  get size(): number {
    return this.#probation.size + this.#protected.size;
  }

  /** Somebody comes who is not held. */
  add(person: string): void {
    if (this.#gone.delete(person)) this.#protect(person);
    else this.#probation.add(person);
  }

  /** Somebody comes who is held. */
  use(person: string): void {
    if (this.#protected.delete(person) || this.#probation.delete(person)) this.#protect(person);
  }

  /** They are held no more, and remembered for some time. */
  giveWay(person: string): void {
    this.delete(person);
    this.#gone.add(person);
    if (this.#gone.size > this.#places) this.#gone.delete(oldestOf(this.#gone));
  }

  /** They are held no more, and nothing is remembered. */
  delete(person: string): void {
    for (const some of [this.#probation, this.#protected, this.#gone]) some.delete(person);
  }

  /** Who gives way, the next one first. */
  *victims(): Generator<string> {
    yield* this.#probation;
    yield* this.#protected;
  }

  #protect(person: string): void {
    this.#protected.add(person);
    if (this.#protected.size <= Math.floor(this.#places / 2)) return;
    const oldest = oldestOf(this.#protected);
    this.#protected.delete(oldest);
    this.#probation.add(oldest);
  }
}

/** Of a set that holds somebody. */
function oldestOf(persons: ReadonlySet<string>): string {
  const [oldest] = persons as Iterable<string>;
  return oldest!;
}

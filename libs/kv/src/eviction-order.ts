/** Who comes: the person, or somebody who encodes many people whether or not they come (a batch, a pre-warm), which says nothing about them. */
export type Visit = 'person' | 'scan';

/**
 * In which order persons give way: segmented LRU with a memory of who gave way. Who has come once is on probation and goes first, the oldest visit
 * first; who came again is protected, also if they gave way in between and are still remembered. So a pass over many people who come once, a
 * crawler's or a batch's, takes the places of those on probation alone. What it is worth: docs/decisions/017-who-gives-way.md.
 */
export class EvictionOrder {
  /** Persons, the one used longest ago first. */
  readonly #probation = new Set<string>();
  readonly #protected = new Set<string>();
  /** Who gave way, the one who did so first at the front. As many as are held. */
  readonly #gone = new Set<string>();
  /** Of each who is held. */
  readonly #weights = new Map<string, number>();
  readonly #most: number;
  #protectedWeight = 0;

  /** @param room what all persons together may weigh; half of it may be protected */
  constructor(room: number) {
    this.#most = room / 2;
  }

  get size(): number {
    return this.#weights.size;
  }

  /** Somebody comes who is not held. */
  add(person: string, weight = 1, visit: Visit = 'person'): void {
    this.#weights.set(person, weight);
    const wasHere = this.#gone.delete(person);
    if (wasHere && visit === 'person') this.#protect(person);
    else this.#probation.add(person);
  }

  /** Somebody comes who is held. */
  use(person: string): void {
    if (!this.#weights.has(person)) return;
    this.#unplace(person);
    this.#protect(person);
  }

  /** Somebody who is held has another weight. */
  weigh(person: string, weight: number): void {
    if (this.#protected.has(person)) this.#protectedWeight += weight - this.#weights.get(person)!;
    this.#weights.set(person, weight);
    this.#demote();
  }

  /** They are held no more, and remembered for some time. */
  giveWay(person: string): void {
    this.delete(person);
    this.#gone.add(person);
    if (this.#gone.size > this.size + 1) this.#gone.delete(oldestOf(this.#gone));
  }

  /** They are held no more, and nothing is remembered. */
  delete(person: string): void {
    this.#gone.delete(person);
    if (!this.#weights.has(person)) return;
    this.#unplace(person);
    this.#weights.delete(person);
  }

  /** Who gives way, the next one first. */
  *victims(): Generator<string> {
    yield* this.#probation;
    yield* this.#protected;
  }

  #unplace(person: string): void {
    this.#probation.delete(person);
    if (this.#protected.delete(person)) this.#protectedWeight -= this.#weights.get(person)!;
  }

  #protect(person: string): void {
    this.#protected.add(person);
    this.#protectedWeight += this.#weights.get(person)!;
    this.#demote();
  }

  #demote(): void {
    while (this.#protectedWeight > this.#most) {
      const oldest = oldestOf(this.#protected);
      this.#unplace(oldest);
      this.#probation.add(oldest);
    }
  }
}

/** Of a set that holds somebody. */
function oldestOf(persons: ReadonlySet<string>): string {
  const [oldest] = persons as Iterable<string>;
  return oldest!;
}

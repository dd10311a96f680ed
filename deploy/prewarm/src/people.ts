import type { ActivePerson } from '@onepass/history';

/** The people who were active last, at most `most` of all that were told, in memory for twice as many. Who is told twice is chosen once. */
export class ActiveLast {
  readonly #most: number;
  #people = new Map<string, ActivePerson>();
  /** Nobody who was active before belongs to them any more. */
  #sinceMs = Number.NEGATIVE_INFINITY;
  #told = 0;

  /** @param most from 1 on */
  constructor(most: number) {
    this.#most = most;
  }

  /** People told so far, those too that are not among the last. */
  get told(): number {
    return this.#told;
  }

  add(person: ActivePerson): void {
    if (this.#people.has(person.person)) return;
    this.#told += 1;
    if (person.lastMs < this.#sinceMs) return;
    this.#people.set(person.person, person);
    if (this.#people.size >= 2 * this.#most) this.#cut();
  }

  /** The one active last at the end. */
  inOrder(): readonly ActivePerson[] {
    this.#cut();
    return [...this.#people.values()].reverse();
  }

  #cut(): void {
    const last = [...this.#people.values()].sort(byActivity).slice(0, this.#most);
    this.#people = new Map(last.map((one) => [one.person, one]));
    if (last.length === this.#most) this.#sinceMs = last.at(-1)!.lastMs;
  }
}

/** Of people, the one active last at the end, as many of those active last as have room. */
export function thatFit(
  people: readonly ActivePerson[],
  bytesOf: (person: ActivePerson) => number,
  room: number,
): readonly ActivePerson[] {
  let bytes = 0;
  for (let first = people.length - 1; first >= 0; first--) {
    bytes += bytesOf(people[first]!);
    if (bytes > room) return people.slice(first + 1);
  }
  return people;
}

/** The one active last first; of two at one time the lesser key, so that two runs choose the same. */
function byActivity(a: ActivePerson, b: ActivePerson): number {
  return b.lastMs - a.lastMs || (a.person < b.person ? -1 : 1);
}

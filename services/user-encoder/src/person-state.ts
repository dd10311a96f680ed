import { packColumn } from '@onepass/contracts';
import { ACTED_ITEMS, type HistoryHead } from '@onepass/history';

/** What is remembered of a person beside the slot, so that a warm request reads nothing but the history's head. */
export interface PersonState {
  /** The history that this, and the person's slot, is made from. */
  readonly head: HistoryHead;
  /** Effective time of the last token; undefined = the history has no token. */
  readonly lastMs: number | undefined;
  readonly seen: SeenItems;
}

/** Distinct items acted on, the last one at the end, at most as many as the history answers. */
export class SeenItems {
  readonly #ids: Set<string>;
  #rows: Uint8Array | undefined;

  constructor(ids: readonly string[]) {
    this.#ids = new Set(ids);
  }

  add(id: string): void {
    this.#ids.delete(id);
    this.#ids.add(id);
    if (this.#ids.size > ACTED_ITEMS.items) {
      for (const oldest of this.#ids) {
        this.#ids.delete(oldest);
        break;
      }
    }
    this.#rows = undefined;
  }

  /** Those that the release knows, as the contract's `seen_rows`. Made once for many requests. */
  rows(itemRow: (id: string) => number | undefined): Uint8Array {
    this.#rows ??= packColumn(Uint32Array.from([...this.#ids].map(itemRow).filter((row) => row !== undefined)));
    return this.#rows;
  }
}

/** The states of the persons used last, at most `capacity`. */
export class PersonStates {
  readonly #capacity: number;
  readonly #states = new Map<string, PersonState>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#states.size;
  }

  get(person: string): PersonState | undefined {
    const state = this.#states.get(person);
    if (state !== undefined) this.set(person, state);
    return state;
  }

  delete(person: string): void {
    this.#states.delete(person);
  }

  set(person: string, state: PersonState): void {
    this.#states.delete(person);
    this.#states.set(person, state);
    if (this.#states.size <= this.#capacity) return;
    for (const oldest of this.#states.keys()) {
      this.#states.delete(oldest);
      return;
    }
  }
}

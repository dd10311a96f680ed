/** What padding of a block table names: zeros for ever. */
export const ZERO_PAGE = 0;
/** What takes the rows of padding: nobody reads it. */
export const PADDING_PAGE = 1;
/** Pages that are nobody's. */
export const RESERVED_PAGES = 2;

/**
 * Which pages each slot has, in order, and whose bytes each page holds: a page keeps them after its slot has given it back, until somebody else has
 * overwritten it or it was zeroed. Page numbers only; the memory is elsewhere.
 */
export class PageTable {
  readonly #free: number[];
  readonly #slots: number[][];
  readonly #owners: (string | undefined)[];
  readonly #owned = new Map<string, Set<number>>();

  /** @param pages of the pools, the reserved ones included */
  constructor(pages: number, slots: number) {
    this.#free = Array.from({ length: Math.max(0, pages - RESERVED_PAGES) }, (_, i) => pages - 1 - i);
    this.#slots = Array.from({ length: slots }, () => []);
    this.#owners = Array.from({ length: pages }, () => undefined);
  }

  /** Pages that no slot has. */
  get free(): number {
    return this.#free.length;
  }

  /** A slot's pages, in order of its tokens. Changes with the slot. */
  pagesOf(slot: number): readonly number[] {
    return this.#slots[slot]!;
  }

  /** So many more pages at the slot's end. @returns false: there are not so many, and nothing has changed */
  take(slot: number, count: number): boolean {
    if (count > this.#free.length) return false;
    const pages = this.#slots[slot]!;
    for (let i = 0; i < count; i++) pages.push(this.#free.pop()!);
    return true;
  }

  /** The slot keeps its first `keep` pages. */
  giveBack(slot: number, keep: number): void {
    // Back in the order in which they were taken, so that a slot that comes again finds neighbours.
    this.#free.push(...this.#slots[slot]!.splice(keep).reverse());
  }

  /** Whose bytes the page holds; undefined = zeros. */
  ownerOf(page: number): string | undefined {
    return this.#owners[page];
  }

  /** @param person undefined = the page was zeroed */
  setOwner(page: number, person: string | undefined): void {
    const before = this.#owners[page];
    if (before === person) return;
    if (before !== undefined) {
      const pages = this.#owned.get(before)!;
      pages.delete(page);
      if (pages.size === 0) this.#owned.delete(before);
    }
    this.#owners[page] = person;
    if (person === undefined) return;
    const pages = this.#owned.get(person);
    if (pages) pages.add(page);
    else this.#owned.set(person, new Set([page]));
  }

  /** Every page that holds bytes of the person, whoever has it now. */
  ownedBy(person: string): number[] {
    return [...(this.#owned.get(person) ?? [])];
  }

  /** Persons whose bytes lie anywhere. */
  get persons(): number {
    return this.#owned.size;
  }
}

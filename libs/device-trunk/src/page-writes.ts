import type { SlotState } from '@onepass/kv';
import type { DevicePools } from './device-pools.js';
import type { PageTable } from './page-table.js';
import { trunkDefect } from './trunk-defect.js';

/** New tokens on their way into a slot. */
export interface PageWrite {
  /** Pool row of a token, those of `behind` included. */
  rowOf(token: number): number;
  /** So many rows behind the new tokens hold what somebody else left: the same run must overwrite them too. */
  readonly behind: number;
  /** All rows were overwritten, those behind included. */
  done(): void;
  /** Nothing was written. */
  dropped(): void;
  /** It is not known what was overwritten, or with what: everything from the first new token on is zeroed. */
  failed(): Promise<void>;
}

/** What keeps a page from being touched: a write to it, or that it is zeroed. */
interface Hold {
  readonly person: string | undefined;
  readonly settled: Promise<void>;
}

/**
 * Who is at work on which page, and whose bytes it holds afterwards. Of one page there is one writer or one who zeroes at a time. Whoever has seen that a page
 * is free must begin in the same turn of the event loop: in the next somebody else may have begun.
 */
export class PageWrites {
  readonly #pools: DevicePools;
  readonly #table: PageTable;
  readonly #pageTokens: number;
  /** By page, the tenancy that wrote it. */
  readonly #tenants: (SlotState | undefined)[] = [];
  readonly #holds = new Map<number, Hold>();

  constructor(pools: DevicePools, table: PageTable) {
    this.#pools = pools;
    this.#table = table;
    this.#pageTokens = pools.shape.pageTokens;
  }

  isFree(state: SlotState, from: number, to: number): boolean {
    return this.#pagesBetween(state, from, to).every((page) => !this.#holds.has(page));
  }

  /** When those who are at work now have ended. */
  async settled(state: SlotState, from: number, to: number): Promise<void> {
    await Promise.all(this.#othersAt(this.#pagesBetween(state, from, to)));
  }

  /** `PageWrite.behind` of a write up to token `to`. */
  behind(state: SlotState, to: number): number {
    const last = this.#table.pagesOf(state.slot)[Math.ceil(to / this.#pageTokens) - 1]!;
    const isClean = this.#table.ownerOf(last) === undefined || this.#tenants[last] === state;
    return isClean ? 0 : (this.#pageTokens - (to % this.#pageTokens)) % this.#pageTokens;
  }

  /** @throws OnepassError `internal` when the pages are not free */
  begin(state: SlotState, from: number, to: number): PageWrite {
    if (!this.isFree(state, from, to)) throw trunkDefect('somebody else is at work on the pages of a write');
    const each = this.#pageTokens;
    const pages = this.#table.pagesOf(state.slot).slice();
    const written = this.#pagesBetween(state, from, to);
    const end = this.#hold(written, state.personKey);
    return {
      rowOf: (token) => pages[Math.floor(token / each)]! * each + (token % each),
      behind: this.behind(state, to),
      done: () => {
        this.#give(written, state.personKey, state);
        end();
      },
      dropped: end,
      failed: async () => {
        const inFirst = from % each;
        const whole = inFirst > 0 ? written.slice(1) : written;
        // Until it is zeroed, there may be some of this person.
        this.#give(whole, state.personKey, undefined);
        try {
          await this.#pools.clear(
            written.map((page, i) => [page * each + (i === 0 ? inFirst : 0), (page + 1) * each] as const),
          );
          this.#give(whole, undefined, undefined);
        } finally {
          end();
        }
      },
    };
  }

  /** What a person left anywhere; what they are writing too. @param isCurrent whether a tenancy of theirs has not ended: its pages stay */
  async zeroPerson(person: string, isCurrent: (state: SlotState) => boolean): Promise<void> {
    const written = [...this.#holds].flatMap(([page, hold]) => (hold.person === person ? [page] : []));
    const pages = [...new Set([...written, ...this.#table.ownedBy(person)])];
    await this.#zeroWhere(pages, (page) => {
      const tenant = this.#tenants[page];
      return this.#table.ownerOf(page) === person && !(tenant !== undefined && isCurrent(tenant));
    });
  }

  /** What one tenancy left of its slot. */
  async zeroTenancy({ slot, generation }: Pick<SlotState, 'slot' | 'generation'>): Promise<void> {
    const isOfIt = (page: number) => {
      const tenant = this.#tenants[page];
      return tenant?.slot === slot && tenant.generation === generation;
    };
    await this.#zeroWhere(this.#table.pagesOf(slot).filter(isOfIt), isOfIt);
  }

  /** Those of the pages for which it still holds once nobody is at work on them. */
  async #zeroWhere(pages: readonly number[], isWanted: (page: number) => boolean): Promise<void> {
    for (let others = this.#othersAt(pages); others.length > 0; others = this.#othersAt(pages))
      await Promise.all(others);
    const wanted = pages.filter(isWanted);
    if (wanted.length === 0) return;
    const end = this.#hold(wanted, undefined);
    try {
      await this.#pools.clear(wanted.map((page) => [page * this.#pageTokens, (page + 1) * this.#pageTokens] as const));
      this.#give(wanted, undefined, undefined);
    } finally {
      end();
    }
  }

  #give(pages: readonly number[], person: string | undefined, tenant: SlotState | undefined): void {
    for (const page of pages) {
      this.#table.setOwner(page, person);
      this.#tenants[page] = tenant;
    }
  }

  #pagesBetween({ slot }: SlotState, from: number, to: number): number[] {
    return this.#table.pagesOf(slot).slice(Math.floor(from / this.#pageTokens), Math.ceil(to / this.#pageTokens));
  }

  #othersAt(pages: readonly number[]): Promise<void>[] {
    return pages.flatMap((page) => this.#holds.get(page)?.settled ?? []);
  }

  /** @returns ends it */
  #hold(pages: readonly number[], person: string | undefined): () => void {
    let settle = () => {};
    const settled = new Promise<void>((resolve) => {
      settle = resolve;
    });
    for (const page of pages) this.#holds.set(page, { person, settled });
    return () => {
      for (const page of pages) this.#holds.delete(page);
      settle();
    };
  }
}

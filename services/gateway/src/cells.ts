import { type Connection, RankingService, type ServiceClient, UserEncoderService } from '@onepass/contracts';
import { cellOrder, type PersonKey, withBoundedLoad } from '@onepass/routing';
import type { CellAddresses } from './settings.js';

/** User-encoder and ranking of one release on one host, with KV that only they share. */
export interface Cell {
  readonly encoder: ServiceClient<typeof UserEncoderService>;
  readonly ranking: ServiceClient<typeof RankingService>;
  /** That of a ranking model of its own, whose KV ranking reads instead of `encoder`'s; undefined = one model does both. */
  readonly rankingEncoder: ServiceClient<typeof UserEncoderService> | undefined;
  /** Pages of this gateway that are being made there, or were begun there. */
  underWay: number;
  /** Epoch ms until which others are asked first; 0 = it can be reached as far as is known. */
  passedOverUntilMs: number;
}

/** After a cell could not be reached, for so long nobody asks it first; then one call does. */
const PASS_OVER_MS = 1_000;

/** All cells, each with its connections made once. */
export class Cells {
  readonly #cells = new Map<string, Cell>();
  readonly #names: readonly string[];
  readonly #connections: Connection[] = [];

  constructor(addresses: readonly CellAddresses[], connect: (address: string) => Connection) {
    const connection = (address: string) => {
      const made = connect(address);
      this.#connections.push(made);
      return made;
    };
    for (const { encoder, ranking, rankingEncoder } of addresses) {
      this.#cells.set(encoder, {
        encoder: connection(encoder).client(UserEncoderService),
        ranking: connection(ranking).client(RankingService),
        rankingEncoder:
          rankingEncoder === undefined ? undefined : connection(rankingEncoder).client(UserEncoderService),
        underWay: 0,
        passedOverUntilMs: 0,
      });
    }
    this.#names = [...this.#cells.keys()];
  }

  /**
   * Does work at the person's cell, which is handed over first and those that take over behind it, in order. One that has much more under way
   * than the others comes behind them: whoever makes a cell hot does not sink it.
   */
  async use<T>(person: PersonKey, work: (cells: readonly Cell[]) => Promise<T>): Promise<T> {
    const { reachable, passedOver } = this.#of(person);
    const order = [...withBoundedLoad(reachable, ({ underWay }) => underWay), ...passedOver];
    const [first] = order;
    if (first !== undefined) first.underWay += 1;
    try {
      return await work(order);
    } finally {
      if (first !== undefined) first.underWay -= 1;
    }
  }

  /**
   * The person's cell first, then those that take over, in order; cells that could not be reached just now come last. Any spreading key
   * serves for nobody in particular.
   */
  inOrder(person: PersonKey): Cell[] {
    const { reachable, passedOver } = this.#of(person);
    return [...reachable, ...passedOver];
  }

  #of(person: PersonKey): { reachable: Cell[]; passedOver: Cell[] } {
    const names = this.#names.length === 1 ? this.#names : cellOrder(person, this.#names);
    const [reachable, passedOver]: [Cell[], Cell[]] = [[], []];
    for (const name of names) {
      const cell = this.#cells.get(name) as Cell;
      (isPassedOver(cell) ? passedOver : reachable).push(cell);
    }
    return { reachable, passedOver };
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}

/** All that hold KV of the cell's persons. */
export function encodersOf({ encoder, rankingEncoder }: Cell): Cell['encoder'][] {
  return rankingEncoder === undefined ? [encoder] : [encoder, rankingEncoder];
}

/** One call that finds the time over tries the cell; the others go on passing it over until it is known how that went. */
function isPassedOver(cell: Cell): boolean {
  if (cell.passedOverUntilMs === 0) return false;
  if (Date.now() < cell.passedOverUntilMs) return true;
  cell.passedOverUntilMs = Date.now() + PASS_OVER_MS;
  return false;
}

/** To be told how a call to a cell's encoder ended: what its persons' KV lies behind. */
export function cellReached(cell: Cell, reached: boolean): void {
  cell.passedOverUntilMs = reached ? 0 : Date.now() + PASS_OVER_MS;
}

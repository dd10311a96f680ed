import { type Connection, RankingService, type ServiceClient, UserEncoderService } from '@onepass/contracts';
import { cellOrder, type PersonKey } from '@onepass/routing';
import type { CellAddresses } from './settings.js';

/** User-encoder and ranking of one release on one host, with KV that only they share. */
export interface Cell {
  readonly encoder: ServiceClient<typeof UserEncoderService>;
  readonly ranking: ServiceClient<typeof RankingService>;
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
    for (const { encoder, ranking } of addresses) {
      const connections = [connect(encoder), connect(ranking)] as const;
      this.#connections.push(...connections);
      const [toEncoder, toRanking] = connections;
      this.#cells.set(encoder, {
        encoder: toEncoder.client(UserEncoderService),
        ranking: toRanking.client(RankingService),
        passedOverUntilMs: 0,
      });
    }
    this.#names = [...this.#cells.keys()];
  }

  /**
   * The person's cell first, then those that take over, in order; cells that could not be reached just now come last. Any spreading key
   * serves for nobody in particular.
   */
  inOrder(person: PersonKey): Cell[] {
    const names = this.#names.length === 1 ? this.#names : cellOrder(person, this.#names);
    const [first, last]: [Cell[], Cell[]] = [[], []];
    for (const name of names) {
      const cell = this.#cells.get(name) as Cell;
      (isPassedOver(cell) ? last : first).push(cell);
    }
    return [...first, ...last];
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
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

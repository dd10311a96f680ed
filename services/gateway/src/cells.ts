import { type Connection, RankingService, type ServiceClient, UserEncoderService } from '@onepass/contracts';
import { OnepassError, unavailable } from '@onepass/errors';
import { cellOrder, type PersonKey } from '@onepass/routing';
import type { CellAddresses } from './settings.js';

/** User-encoder and ranking of one release on one host, with KV that only they share. */
export interface Cell {
  readonly encoder: ServiceClient<typeof UserEncoderService>;
  readonly ranking: ServiceClient<typeof RankingService>;
}

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
      const cell = { encoder: toEncoder.client(UserEncoderService), ranking: toRanking.client(RankingService) };
      this.#cells.set(encoder, cell);
    }
    this.#names = [...this.#cells.keys()];
  }

  /** The person's cell first, then those that take over, in order. Any spreading key serves for nobody in particular. */
  inOrder(person: PersonKey): Cell[] {
    const names = this.#names.length === 1 ? this.#names : cellOrder(person, this.#names);
    return names.map((name) => this.#cells.get(name) as Cell);
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}

/**
 * What the first of `cells` that can be reached answers. One that is late is not passed over: there is no time for two.
 * @throws OnepassError what a reached cell failed with; `unavailable` when none can be reached.
 */
export async function firstReachable<T>(cells: readonly Cell[], ask: (cell: Cell) => Promise<T>): Promise<T> {
  let unreachable = unavailable('there is no cell');
  for (const cell of cells) {
    try {
      return await ask(cell);
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      if (error.kind !== 'unavailable') throw error;
      unreachable = error;
    }
  }
  throw unreachable;
}

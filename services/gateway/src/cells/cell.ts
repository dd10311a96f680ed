import {
  type Connection,
  RankingService,
  type ServiceClient,
  type ServiceHealth,
  UserEncoderService,
} from '@onepass/contracts';
import { addressesOf, type CellLife, type CellLine, type CellPart } from '@onepass/routing';

/** How a call to a cell ended, as far as it says something of the cell. */
export type CallEnd = 'answered' | 'late' | 'unreachable' | 'unfit';

/** User-encoder and ranking of one release on one host, with KV that only they share. */
export class Cell {
  readonly encoder: ServiceClient<typeof UserEncoderService>;
  readonly ranking: ServiceClient<typeof RankingService>;
  /** That of a ranking model of its own, whose KV ranking reads instead of `encoder`'s; undefined = one model does both. */
  readonly rankingEncoder: ServiceClient<typeof UserEncoderService> | undefined;
  /** Pages of this gateway that are being made there, or were begun there. */
  underWay = 0;
  /** It answered as what it should not be, another service or another release: it is not looked at again so soon. */
  isUnfit = false;
  readonly #connections: ReadonlyMap<string, Connection>;

  /** @param now monotonic clock, in ms */
  constructor(
    readonly line: CellLine,
    readonly life: CellLife,
    connect: (address: string) => Connection,
    private readonly now: () => number,
  ) {
    this.#connections = new Map(addressesOf(line).map((address) => [address, connect(address)]));
    this.encoder = this.#to(line.encoder).client(UserEncoderService);
    this.ranking = this.#to(line.ranking).client(RankingService);
    const { rankingEncoder } = line;
    this.rankingEncoder =
      rankingEncoder === undefined ? undefined : this.#to(rankingEncoder).client(UserEncoderService);
  }

  get name(): string {
    return this.line.name;
  }

  /** All that hold KV of the cell's persons. */
  get encoders(): Cell['encoder'][] {
    return this.rankingEncoder === undefined ? [this.encoder] : [this.encoder, this.rankingEncoder];
  }

  /**
   * To be told how a call to one of the cell's processes ended.
   * @param tookMs how long it took: of a late one, the time it was given
   */
  told(part: CellPart, end: CallEnd, tookMs: number): void {
    const nowMs = this.now();
    if (end === 'answered') this.life.answered(part, nowMs);
    else if (end === 'late') this.life.late(part, tookMs, nowMs);
    else this.life.unreachable(nowMs);
    if (end === 'unfit') this.isUnfit = true;
  }

  /** To be told the pool that the KV of an answer lies in; empty: there is none. */
  toldPool(poolId: string): void {
    this.life.answered('encoder', this.now(), poolId);
  }

  /** What the processes that every page needs say of themselves, encoder first. */
  health(timeoutMs: number): Promise<[ServiceHealth, ServiceHealth]> {
    const { encoder, ranking } = this.line;
    return Promise.all([
      this.#to(encoder).health(UserEncoderService, timeoutMs),
      this.#to(ranking).health(RankingService, timeoutMs),
    ]);
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
  }

  #to(address: string): Connection {
    return this.#connections.get(address) as Connection;
  }
}

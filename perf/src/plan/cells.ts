/** CPU in ms of what a page asks for, and what KV that is not held costs instead. */
export interface PageCosts {
  /** All histories' tokens, from nothing. */
  readonly encodeAll: number;
  /** One new token, on held KV. */
  readonly append: number;
  /** Ranking, retrieval head, search and everything that is not a graph. */
  readonly rest: number;
  /** Of `rest` and the others, what the busiest process of a cell runs on its event loop, of which it has one; absent: not known. */
  readonly loop?: number;
}

/** A cell: processes that share one KV pool, and their part of gateways and retrieval. */
export interface CellSize {
  readonly cores: number;
  readonly slots: number;
}

export interface Demand {
  /** Pages a second at the day's peak. */
  readonly qps: number;
  readonly costs: PageCosts;
  readonly cell: CellSize;
  /** Share of its cores that a cell may use at the peak, one cell being lost. */
  readonly busiest: number;
  /** Share of pages whose person is held where there are so many slots: what `heldShare` says. */
  readonly heldAt: (slots: number) => number;
}

export interface Plan {
  readonly cells: number;
  readonly slots: number;
  readonly held: number;
  /** CPU in ms a page; and how much of it goes into KV that was not held. */
  readonly pageMs: number;
  readonly missMs: number;
  /** Share of all cores at the peak, with all cells and with one lost. */
  readonly busy: number;
  readonly busyWithOneLost: number;
  /** KV that is made anew when a cell is lost, in persons. */
  readonly moved: number;
  /** All held KV made anew, as for a release that takes over: core-seconds, and seconds on the cores that the peak leaves. */
  readonly promotionCoreSeconds: number;
  readonly promotionSeconds: number;
  /** Share of its time that the busiest event loop of a cell runs, with one cell lost; undefined where it is not known. */
  readonly loopBusyWithOneLost: number | undefined;
  /** What fewer cells would lack. */
  readonly binding: 'CPU' | 'KV memory' | 'one event loop';
}

const MOST_CELLS = 100_000;

/** CPU in ms of a page where a share `held` of the pages finds its person's KV. */
export function pageMs({ encodeAll, append, rest }: PageCosts, held: number): number {
  return held * append + (1 - held) * encodeAll + rest;
}

/**
 * The fewest cells that answer the peak with one of them lost. More slots make pages cheaper, so memory counts by what it saves: it binds where the
 * same cores would be enough if everybody who comes again were held. A cell has one user-encoder and one ranking, whose JavaScript runs on one core each.
 * @returns undefined where no number of cells does
 */
export function planCells(demand: Demand): Plan | undefined {
  const suffices = (cells: number) => busiestWith(demand, cells - 1) <= demand.busiest;
  let enough = 2;
  while (enough < MOST_CELLS && !suffices(enough)) enough *= 2;
  if (!suffices(enough)) return undefined;
  let tooFew = enough === 2 ? 1 : enough / 2;
  while (enough - tooFew > 1) {
    const middle = Math.floor((enough + tooFew) / 2);
    if (suffices(middle)) enough = middle;
    else tooFew = middle;
  }
  return describe(demand, enough);
}

/** Share of the cores of `cells` cells that the peak takes. */
function busyWith({ qps, costs, cell, heldAt }: Demand, cells: number, held = heldAt(cells * cell.slots)): number {
  return (qps * pageMs(costs, held)) / 1000 / (cells * cell.cores);
}

/** Share of the busiest event loop of a cell that the peak takes on `cells` cells; 0 where it is not known. */
function loopBusyWith({ qps, costs }: Demand, cells: number): number {
  return (qps * (costs.loop ?? 0)) / 1000 / cells;
}

const busiestWith = (demand: Demand, cells: number) => Math.max(busyWith(demand, cells), loopBusyWith(demand, cells));

function describe(demand: Demand, cells: number): Plan {
  const { costs, cell, heldAt, busiest, qps } = demand;
  const slots = cells * cell.slots;
  const held = heldAt(slots);
  const busy = busyWith(demand, cells);
  const promotionCoreSeconds = (slots * costs.encodeAll) / 1000;
  const spareCores = cells * cell.cores - (qps * pageMs(costs, held)) / 1000;
  const allHeld = heldAt(Number.POSITIVE_INFINITY);
  // With one cell fewer, and one of those lost.
  const withAllHeld = cells > 2 ? busyWith(demand, cells - 2, allHeld) : Number.POSITIVE_INFINITY;
  const byLoop = cells > 2 && busyWith(demand, cells - 2) <= busiest;
  return {
    ...{ cells, slots, held, busy, promotionCoreSeconds },
    pageMs: pageMs(costs, held),
    missMs: (1 - held) * (costs.encodeAll - costs.append),
    busyWithOneLost: busyWith(demand, cells - 1),
    moved: cell.slots,
    promotionSeconds: promotionCoreSeconds / spareCores,
    loopBusyWithOneLost: costs.loop === undefined ? undefined : loopBusyWith(demand, cells - 1),
    binding: byLoop ? 'one event loop' : withAllHeld <= busiest ? 'KV memory' : 'CPU',
  };
}

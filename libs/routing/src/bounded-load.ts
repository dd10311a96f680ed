/** Standard deviations of calls that come by chance: so many more than the mean are no accident. */
const DEVIATIONS = 3;

/**
 * Calls that a cell may have under way when one more comes, as in consistent hashing with bounded loads (Mirrokni, Thorup & Zadimoghaddam,
 * 2018), but with a bound that chance alone hardly reaches, whatever the mean: a person who leaves their cell leaves its KV. Where calls spread evenly,
 * 8 a cell on average, 4 of 1,000 do.
 */
export function mostUnderWay(total: number, cells: number): number {
  const mean = (total + 1) / cells;
  return Math.ceil(mean + DEVIATIONS * Math.sqrt(mean));
}

/**
 * The cells in the order a person is to try them, those that have as much under way as they may behind the others.
 * @param underWay calls under way at a cell, this one not counted
 */
export function withBoundedLoad<C>(order: readonly C[], underWay: (cell: C) => number): C[] {
  const total = order.reduce((sum, cell) => sum + underWay(cell), 0);
  const most = mostUnderWay(total, order.length);
  const [free, full]: [C[], C[]] = [[], []];
  for (const cell of order) (underWay(cell) < most ? free : full).push(cell);
  return [...free, ...full];
}

/** Standard deviations of calls that come by chance: so many more than the mean are no accident. */
const DEVIATIONS = 3;

/**
 * Calls that a cell may have under way when one more comes, as in consistent hashing with bounded loads (Mirrokni, Thorup & Zadimoghaddam,
 * 2018), but with a bound that chance alone hardly reaches, whatever the mean: a person who leaves their cell leaves its KV. Where calls spread evenly,
 * 8 a cell on average, 4 of 1,000 do.
 * @param cells among how many cells of its weight all calls would be shared
 */
export function mostUnderWay(total: number, cells: number): number {
  const mean = (total + 1) / cells;
  return Math.ceil(mean + DEVIATIONS * Math.sqrt(mean));
}

/**
 * The cells in the order a person is to try them, those that have as much under way as they may behind the others.
 * @param underWay calls under way at a cell, this one not counted
 * @param weightOf how large a share of the calls a cell is to get, in proportion to the others', above 0; absent: the same
 */
export function withBoundedLoad<C>(
  order: readonly C[],
  underWay: (cell: C) => number,
  weightOf: (cell: C) => number = () => 1,
): C[] {
  let [total, weights] = [0, 0];
  for (const cell of order) {
    total += underWay(cell);
    weights += weightOf(cell);
  }
  const [free, full]: [C[], C[]] = [[], []];
  for (const cell of order) {
    (underWay(cell) < mostUnderWay(total, weights / weightOf(cell)) ? free : full).push(cell);
  }
  return [...free, ...full];
}

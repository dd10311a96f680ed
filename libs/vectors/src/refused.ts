import type { RowTest } from './filters.js';

/** Rows that must not be answered, whether by exclusion or by filter. */
export interface Refused {
  /** By row of the item table: 1 = refused. */
  readonly marks: Uint8Array;
  readonly count: number;
}

/**
 * @param items how many rows there are
 * @param excluded rows, repeats allowed
 * @param admits the filters; undefined = all rows pass
 * @returns undefined = nothing is refused
 */
export function refusedRows(
  items: number,
  excluded: Iterable<number>,
  admits: RowTest | undefined,
): Refused | undefined {
  const marks = new Uint8Array(items);
  let count = 0;
  for (const row of excluded) {
    if (marks[row] === 1) continue;
    marks[row] = 1;
    count++;
  }
  if (admits !== undefined) {
    for (let row = 0; row < items; row++) {
      if (marks[row] === 1 || admits(row)) continue;
      marks[row] = 1;
      count++;
    }
  }
  return count === 0 ? undefined : { marks, count };
}

import type { Buckets, RunSizes } from '@onepass/device-trunk';

/**
 * Sizes of the runs that requests have, so that few of them wait until one is made ready: the context row of somebody who is held, a few new actions
 * before it, whole histories, the context row of nobody in particular, and the candidates of a page.
 * @param candidates of a page
 * @param people at one time
 */
export function usualRuns(
  buckets: Buckets,
  candidates: number,
  people: readonly number[] = buckets.people,
): RunSizes[] {
  const { capacity, contextRows } = buckets.shape;
  const window = capacity - contextRows;
  const k = Math.min(candidates, buckets.shape.candidates);
  const whole = (b: number) => (b === 1 ? buckets.rows : [1, window + 1]);
  return people.flatMap((b) => [
    ...whole(b).map((m) => ({ b, g: 0, m })),
    ...buckets.pages.flatMap((g) => [
      { b, g, m: 1 },
      { b, g, m: 2 },
      { b, g, s: 1, c: 1, k },
    ]),
  ]);
}

import { Buckets, USUAL_BUCKETS } from '@onepass/device-trunk';
import { expect, test } from 'vitest';
import { usualRuns } from './warm-up.js';

const shape = { width: 768, pageTokens: 16, capacity: 1000, contextRows: 8, candidates: 2000, prefill: true };
const buckets = new Buckets(shape, USUAL_BUCKETS);

test('what a page of somebody who is held or comes back asks for is ready, whoever else comes', () => {
  const ready = new Set(
    usualRuns(buckets, 200).map((sizes) => JSON.stringify('m' in sizes ? buckets.encode(sizes) : buckets.rank(sizes))),
  );
  for (const b of buckets.people) {
    for (const tokens of [1, 16, 100, 500, 992]) {
      const g = Math.ceil(tokens / 16);
      // A context row alone, and behind one new action.
      for (const m of [1, 2])
        expect(ready).toContain(
          JSON.stringify(buckets.encode({ b, g: buckets.rank({ b, g, s: 1, c: 1, k: 200 }).g, m })),
        );
      expect(ready).toContain(JSON.stringify(buckets.rank({ b, g, s: 1, c: 1, k: 200 })));
    }
    // Nobody, and a whole window with its context row.
    for (const m of [1, 993]) expect(ready).toContain(JSON.stringify(buckets.encode({ b, g: 0, m })));
  }
  for (const m of [5, 40, 300]) expect(ready).toContain(JSON.stringify(buckets.encode({ b: 1, g: 0, m })));
  expect(ready.size).toBeLessThan(USUAL_BUCKETS.most / 10);
});

test('no more candidates than the release ranks, and no more people than are asked for', () => {
  const runs = usualRuns(new Buckets({ ...shape, candidates: 50 }), 200, [1]);
  expect(runs.filter((sizes) => 'k' in sizes && sizes.k !== 50)).toEqual([]);
  expect(runs.filter(({ b }) => b > 1)).toEqual([]);
});

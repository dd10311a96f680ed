import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PRIORITIES } from './priority.js';
import { FAIR_TURN, WaitingLine } from './waiting-line.js';

test('however many higher ones come, the head of a line has its turn within a bounded number of turns', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...PRIORITIES), { minLength: 200, maxLength: 400 }), (arrivals) => {
      const line = new WaitingLine<{ readonly rank: number }>();
      const passed = [0, 0, 0];
      for (const priority of arrivals) {
        // Two come for every one that is served: the line only grows.
        line.add({ rank: PRIORITIES.indexOf(priority) }, priority);
        line.add({ rank: 0 }, 'interactive');
        const { rank } = line.take()!;
        for (const [lower, name] of PRIORITIES.entries())
          passed[lower] = line.waiting(name) > 0 ? passed[lower]! + 1 : 0;
        passed[rank] = 0;
        expect(Math.max(...passed)).toBeLessThanOrEqual(FAIR_TURN + 2);
      }
    }),
    { seed: 1, numRuns: 100 },
  );
});

test('lengths are those of what was added and not yet taken, removed or displaced', () => {
  const line = new WaitingLine<string>();
  line.add('b1', 'batch');
  line.add('b2', 'batch');
  line.add('i1', 'interactive');
  expect([line.length, line.ahead('interactive'), line.ahead('batch')]).toEqual([3, 1, 3]);
  expect(line.displace('batch')).toBeUndefined();
  expect(line.displace('interactive')).toBe('b2');
  expect([line.remove('b1', 'batch'), line.remove('b1', 'batch')]).toEqual([true, false]);
  expect([line.take(), line.take(), line.length]).toEqual(['i1', undefined, 0]);
});

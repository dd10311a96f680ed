import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CELL_STATES, CellLife } from './index.js';

const WARM_UP_MS = 1_000;
const life = (options = {}) => new CellLife({ warmUpMs: WARM_UP_MS, ...options });
const at = (cell: CellLife, nowMs: number) => [cell.stateAt(nowMs), Number(cell.weightAt(nowMs).toFixed(3))];

test('a cell that was there from the start has its whole share', () => {
  expect(at(life(), 0)).toEqual(['serving', 1]);
});

test('one that was there from the start, and begins later than its caller, has lost nothing', () => {
  const cell = life();
  cell.unreachable(0);
  cell.serves(20_000);
  expect(at(cell, 20_000)).toEqual(['serving', 1]);
  cell.unreachable(21_000);
  cell.serves(40_000);
  expect(cell.stateAt(40_000)).toBe('joining');
});

test('a new one is passed over until it serves, and then joins: from a first share to all of it', () => {
  const cell = life({ isNew: true });
  expect(at(cell, 100)[0]).toBe('passed_over');
  cell.serves(1_000);
  expect(at(cell, 1_000)).toEqual(['joining', 0.05]);
  expect(at(cell, 1_500)).toEqual(['joining', 0.525]);
  // Whose KV it is does not matter: there was none of these people's.
  cell.answered('encoder', 1_600, 'pool');
  expect(cell.stateAt(1_999)).toBe('joining');
  expect(at(cell, 2_000)).toEqual(['serving', 1]);
  expect(at(cell, 2_001)).toEqual(['serving', 1]);
});

test('no warm-up: all of it at once', () => {
  const cell = life({ isNew: true, warmUpMs: 0 });
  cell.serves(5);
  expect(at(cell, 5)).toEqual(['serving', 1]);
});

test('a short blip costs nothing, and nobody comes back before all of the cell serves', () => {
  const cell = life();
  cell.answered('encoder', 10, 'pool');
  cell.unreachable(20);
  cell.answered('encoder', 30, 'pool');
  expect(at(cell, 30)[0]).toBe('passed_over');
  expect(cell.awayMs(120)).toBe(100);
  cell.serves(1_020);
  expect([at(cell, 1_020), cell.awayMs(1_020)]).toEqual([['serving', 1], 0]);
});

test('another pool is lost KV: the cell joins, however short it was away', () => {
  const cell = life();
  cell.answered('encoder', 10, 'pool');
  // People without a history say nothing of the pool.
  cell.answered('encoder', 11, '');
  cell.answered('encoder', 20, 'another');
  expect(at(cell, 20)).toEqual(['joining', 0.05]);
  cell.answered('encoder', 500, 'another');
  expect(cell.stateAt(900)).toBe('joining');
});

test('long away is lost KV until the pool that it had clears it', () => {
  const away = (poolId: string) => {
    const cell = life();
    cell.answered('encoder', 10, 'pool');
    cell.unreachable(20);
    cell.serves(6_000);
    expect(at(cell, 6_000)).toEqual(['joining', 0.05]);
    cell.answered('encoder', 6_500, poolId);
    return at(cell, 6_500);
  };
  expect(away('pool')).toEqual(['serving', 1]);
  // The warm-up goes on from where it is.
  expect(away('another')).toEqual(['joining', 0.525]);
});

test('a moved cell brings the pool that it had along', () => {
  const [same, other] = [life({ isNew: true, poolId: 'pool' }), life({ isNew: true, poolId: 'pool' })];
  for (const cell of [same, other]) cell.serves(0);
  same.answered('encoder', 1, 'pool');
  other.answered('encoder', 1, 'another');
  expect([same.stateAt(1), other.stateAt(1)]).toEqual(['serving', 'joining']);
});

test('draining: asked by its operator, by itself, or both; back without a warm-up, since its KV is still there', () => {
  const cell = life();
  cell.answered('encoder', 1, 'pool');
  cell.drain('operator', true, 2);
  cell.drain('cell', true, 3);
  cell.drain('operator', false, 4);
  expect(cell.stateAt(4)).toBe('draining');
  cell.serves(5);
  expect(at(cell, 5)).toEqual(['serving', 1]);
  cell.drain('operator', true, 6);
  // Made anew meanwhile: it joins when it takes people again.
  cell.answered('encoder', 7, 'another');
  cell.serves(8);
  expect(cell.stateAt(5_000)).toBe('draining');
  cell.drain('operator', false, 6_000);
  expect(at(cell, 6_000)).toEqual(['joining', 0.05]);
});

test('silence: several calls in a row without an answer, of one process, over a while; not a few late ones among answers', () => {
  const cell = life();
  cell.answered('encoder', 1_000);
  for (let call = 0; call < 5; call++) cell.late('encoder', 130, 1_100 + call);
  // Together, but so soon after an answer that it may be chance.
  expect(cell.stateAt(1_200)).toBe('serving');
  cell.answered('encoder', 1_200);
  cell.late('encoder', 130, 1_500);
  cell.answered('ranking', 1_500);
  cell.late('encoder', 130, 1_501);
  // Nothing that was given no time says anything.
  cell.late('encoder', 5, 1_502);
  expect(cell.stateAt(1_502)).toBe('serving');
  cell.late('encoder', 130, 1_503);
  expect(cell.stateAt(1_503)).toBe('passed_over');
});

test('one that says that it serves and answers nothing is held off longer each time, until it answers', () => {
  const cell = life();
  const heldOff = (fromMs: number) => {
    for (let call = 0; call < 3; call++) cell.late('ranking', 130, fromMs);
    for (let nowMs = fromMs; ; nowMs += 100) {
      cell.serves(nowMs);
      if (cell.stateAt(nowMs) !== 'passed_over') return nowMs - fromMs;
    }
  };
  expect([1_000, 10_000, 20_000, 30_000].map(heldOff)).toEqual([500, 1_000, 2_000, 4_000]);
  cell.answered('encoder', 40_000);
  expect(heldOff(41_000)).toBe(8_000);
  cell.answered('ranking', 60_000);
  expect(heldOff(61_000)).toBe(500);
});

test('whatever happens, a cell is in one of four states, with a share above 0 and at most 1; only joining is less than all', () => {
  const event = fc.record({
    afterMs: fc.nat(8_000),
    what: fc.constantFrom('serves', 'unreachable', 'late', 'answered', 'drain', 'resume', 'stopping'),
    pool: fc.constantFrom('', 'one', 'two'),
  });
  fc.assert(
    fc.property(fc.boolean(), fc.nat(3_000), fc.array(event, { maxLength: 40 }), (isNew, warmUpMs, events) => {
      const cell = new CellLife({ warmUpMs, isNew });
      let nowMs = 0;
      for (const { afterMs, what, pool } of events) {
        nowMs += afterMs;
        if (what === 'serves') cell.serves(nowMs);
        else if (what === 'unreachable') cell.unreachable(nowMs);
        else if (what === 'late') cell.late('encoder', 100, nowMs);
        else if (what === 'answered') cell.answered('encoder', nowMs, pool);
        else cell.drain(what === 'stopping' ? 'cell' : 'operator', what !== 'resume', nowMs);
        const [state, share] = [cell.stateAt(nowMs), cell.weightAt(nowMs)];
        expect(CELL_STATES).toContain(state);
        expect(share).toBeGreaterThan(0);
        expect(share).toBeLessThanOrEqual(1);
        if (state === 'serving') expect(share).toBe(1);
        if (state === 'joining') expect(share).toBeLessThan(1);
        expect(state === 'passed_over').toBe(cell.awayMs(nowMs + 1) > 0);
      }
    }),
    { seed: 11, numRuns: 500 },
  );
});

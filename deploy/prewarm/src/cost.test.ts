import type { ActivePerson } from '@onepass/history';
import { expect, test } from 'vitest';
import { calibrationOf, costOf, mostBytes, mostTokens, type Warmed } from './cost.js';

const model = { layers: 2, width: 1024, window: 16, contextRows: 2 };
const person = (events: number): ActivePerson => ({ person: 'p', lastMs: 1, events });
const encoded = (tokens: number, more: Partial<Warmed> = {}): Warmed => {
  return { outcome: 'encoded', tokens, encodedTokens: tokens, computeMs: tokens, callMs: 2 * tokens, ...more };
};

test('a history longer than the window is encoded at three quarters of it', () => {
  expect([0, 1, 16, 17, 1_000].map((events) => mostTokens(person(events), model))).toEqual([0, 1, 16, 12, 12]);
  // K and V of two layers, a page a token.
  expect(mostBytes(person(4), model)).toBe(4 * 6 * 4096);
  // A cell in half floats.
  expect(mostBytes(person(4), { ...model, slotBytes: 2 * 18 * 4096 })).toBe(2 * 6 * 4096);
});

test('the whole costs what the first ones cost, by tokens; time by calls, where the rate does not bind', () => {
  const timed = [
    { person: person(10), warmed: encoded(5) },
    { person: person(6), warmed: encoded(3) },
  ];
  const calibration = calibrationOf(timed, model);
  expect(calibration).toMatchObject({ people: 2, tokens: 8, mostTokens: 16, computeMs: 8, callMs: 16 });
  const cells = [Array.from({ length: 30 }, () => person(8)), [person(1_000), person(8)]];
  const cost = costOf(cells, calibration, { model, rate: 10, inFlight: 1 });
  // Half of the events are tokens: of 30 x 8 + 12 + 8.
  expect(cost).toEqual({
    people: 32,
    tokens: 130,
    kvBytes: 4 * 4096 * (30 * 4 + 6 + 4),
    computeSeconds: 0.13,
    seconds: 3,
  });
  expect(costOf(cells, calibration, { model, rate: 1_000, inFlight: 1 }).seconds).toBeCloseTo(30 * 0.008);
  expect(costOf(cells, calibration, { model, rate: 1_000, inFlight: 2 }).seconds).toBeCloseTo(15 * 0.008);
});

test('who is held already costs memory and no compute; who has no token costs nothing', () => {
  const held = { outcome: 'held', encodedTokens: 0, computeMs: 0 } as const;
  const terms = { model, rate: 10, inFlight: 1 };
  const known = calibrationOf([{ person: person(8), warmed: encoded(8, held) }], model);
  expect(costOf([[person(8), person(8)]], known, terms)).toMatchObject({ tokens: 16, computeSeconds: 0 });
  const empty = calibrationOf([{ person: person(8), warmed: encoded(0, { outcome: 'empty' }) }], model);
  expect(costOf([[person(8)]], empty, terms)).toMatchObject({ tokens: 0, kvBytes: 0, computeSeconds: 0 });
  expect(costOf([[]], calibrationOf([], model), terms)).toMatchObject({ people: 0, seconds: 0 });
});

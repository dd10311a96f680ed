import { expect, test } from 'vitest';
import { describeCrossCheck } from './cross-check.js';
import type { SentLoad } from './send-load.js';

/** Turns of a sender, by their medians; the tail is twice that. */
const turns = (...p50s: number[]) => p50s.map((p50) => ({ seen: { latencyMs: { p50, p90: 2 * p50 } } }) as SentLoad);
const told = (ghz: SentLoad[], replayer: SentLoad[]) => describeCrossCheck({ qps: 7, ghz, replayer });

test('both figures are told, and that they agree', () => {
  expect(told(turns(10, 11, 40), turns(12, 9, 13))).toBe(
    'Of the same 7 pages a second to A ghz saw p50 11.0 ms and p90 22.0 ms, the replayer p50 12.0 ms and p90 24.0 ms (medians of 3 turns). They agree.',
  );
  expect(told(turns(1, 1, 1), turns(1.9, 1.9, 1.9))).toMatch(/They agree\.$/);
});

test('what is apart in every turn is a disagreement, also when no page was whole', () => {
  expect(told(turns(10, 11, 12), turns(15, 16, 17))).toContain('THEY DISAGREE');
  expect(told(turns(15, 16, 17), turns(10, 11, 12))).toContain('THEY DISAGREE');
  expect(told(turns(10, 11, 12), turns(Number.NaN, Number.NaN, Number.NaN))).toContain('THEY DISAGREE');
});

test('where turns of one differ as much as the two, nothing is claimed', () => {
  expect(told(turns(35, 61, 75), turns(25, 44, 45))).toContain('too noisy to tell');
});

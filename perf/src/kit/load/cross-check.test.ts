import { expect, test } from 'vitest';
import { describeCrossCheck } from './cross-check.js';
import type { SentLoad } from './send-load.js';

const sent = (p50: number, p90: number, good = 100) =>
  ({ seen: { calls: 100, good, latencyMs: { p50, p90 } } }) as unknown as SentLoad;
const told = (ghz: SentLoad, replayer: SentLoad) => describeCrossCheck({ qps: 7, ghz, replayer });

test('both figures are told, and that they agree', () => {
  expect(told(sent(10, 20), sent(11.5, 24.9))).toBe(
    'The same 7 pages a second to A from both senders: ghz saw p50 10.0 ms, p90 20.0 ms, 100 of 100 pages whole; ' +
      'the replayer p50 11.5 ms, p90 24.9 ms, 100 of 100 pages whole: they agree.',
  );
  expect(told(sent(1, 2), sent(2.9, 3.9))).toMatch(/: they agree\.$/);
});

test.each([
  ['medians apart', sent(10, 20), sent(13, 20)],
  ['tails apart', sent(10, 26), sent(10, 20)],
  ['pages lost by one', sent(10, 20), sent(10, 20, 90)],
  ['no page whole', sent(Number.NaN, Number.NaN, 0), sent(10, 20)],
])('%s: they disagree, and that is said', (_, ghz, replayer) => {
  expect(told(ghz, replayer)).toContain(': THEY DISAGREE, so that');
});

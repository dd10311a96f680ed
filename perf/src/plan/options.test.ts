import { expect, test } from 'vitest';
import { HELP, parsePlanOptions } from './options.js';

test('numbers, in any usual spelling', () => {
  expect(parsePlanOptions(['--people', '30e6', '--qps', '4000.5', '--cores', '8'])).toMatchObject({
    people: 30_000_000,
    qps: 4_000.5,
    cores: 8,
    kvGiB: 32,
    busiest: 0.7,
  });
  expect(parsePlanOptions(['--help'])).toBe('help');
});

test.each([
  [[], '--people is missing'],
  [['--people', '30e6'], '--qps is missing'],
  [['--people', 'many', '--qps', '1'], '--people must be a number from 1000 to 10000000000, not "many"'],
  [['--people', '1e6', '--qps', '-1'], '--qps'],
  [['--people', '1e6', '--qps', '1', '--busiest', '1.5'], '--busiest must be a number from 0.05 to 1, not "1.5"'],
  [['--humans', '1e6'], "Unknown option '--humans'"],
])('%j is refused: %s', (args, sentence) => {
  expect(() => parsePlanOptions(args)).toThrow(sentence);
});

test('the help names every option', () => {
  for (const option of ['--people', '--qps', '--cores', '--kv-gib', '--busiest', '--release', '--smoke']) {
    expect(HELP).toContain(option);
  }
});

import { expect, test } from 'vitest';
import { HELP, parsePlanOptions } from './options.js';

test('numbers, in any usual spelling', () => {
  expect(parsePlanOptions(['--people', '30e6', '--qps', '4000.5', '--cores', '8'])).toMatchObject({
    kind: 'plan',
    options: { people: 30_000_000, qps: 4_000.5, cores: 8, kvGiB: 32, busiest: 0.7, inFlight: 4 },
  });
  expect(parsePlanOptions(['--measure', '/x/times.json', '--smoke'])).toMatchObject({
    kind: 'measure',
    file: '/x/times.json',
    options: { smoke: true },
  });
  expect(parsePlanOptions(['--validate'])).toMatchObject({ kind: 'validate', options: { smoke: false } });
  expect(parsePlanOptions(['--help'])).toBe('help');
});

test.each([
  [[], '--people is missing'],
  [['--people', '30e6'], '--qps is missing'],
  [['--people', 'many', '--qps', '1'], '--people must be a number from 1000 to 10000000000, not "many"'],
  [['--people', '1e6', '--qps', '-1'], '--qps'],
  [['--people', '1e6', '--qps', '1', '--busiest', '1.5'], '--busiest must be a number from 0.05 to 1, not "1.5"'],
  [['--people', '1e6', '--qps', '1', '--in-flight', '0'], '--in-flight must be a number from 1 to 64, not "0"'],
  [['--validate', '--people', '1e6'], '--people has no meaning beside --validate'],
  [['--validate', '--measure', 'x.json'], '--measure has no meaning beside --validate'],
  [['--measure', 'x.json', '--cores', '8'], '--cores has no meaning beside --measure'],
  [['--humans', '1e6'], "Unknown option '--humans'"],
])('%j is refused: %s', (args, sentence) => {
  expect(() => parsePlanOptions(args)).toThrow(sentence);
});

test('the help names every option', () => {
  for (const option of [
    ...['--people', '--qps', '--cores', '--kv-gib', '--busiest', '--in-flight'],
    ...['--measure', '--validate', '--release', '--smoke'],
  ]) {
    expect(HELP).toContain(option);
  }
});

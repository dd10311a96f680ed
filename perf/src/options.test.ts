import { expect, test } from 'vitest';
import { parseOptions } from './options.js';

const parse = (...args: string[]) => parseOptions(args, '/checkout');

test('the default release, unless another is given', () => {
  expect(parse()).toMatchObject({ releaseDir: '/checkout/releases/default', rounds: 3, smoke: false });
  expect(parse('--release', '/r', '--seconds', '20', '--rounds', '5')).toMatchObject({
    releaseDir: '/r',
    seconds: 20,
    rounds: 5,
  });
  expect(parse('--smoke')).toMatchObject({ seconds: 1, rounds: 1, smoke: true });
  expect(parse('--help', '--seconds', 'x')).toBe('help');
});

test.each([
  [['--seconds', '0'], '--seconds must be a whole number from 1 to 9999, not "0"'],
  [['--rounds', 'many'], '--rounds must be a whole number'],
  [['--what'], "Unknown option '--what'"],
])('%j is refused', (args, sentence) => {
  expect(() => parse(...args)).toThrow(sentence);
});

import { expect, test } from 'vitest';
import { parseKitOptions } from './options.js';

test('what is asked for is told apart from what a size has anyway', () => {
  expect(parseKitOptions([])).toEqual({
    ...{ size: 'full', releaseDir: undefined, shape: undefined, systems: undefined, rounds: undefined },
    ...{ seconds: undefined, fresh: false, compare: false },
  });
  expect(parseKitOptions(['--quick', '--systems', 'B,A', '--rounds', '2', '--compare'])).toMatchObject({
    ...{ size: 'quick', systems: ['A', 'B'], rounds: 2, compare: true },
  });
  expect(parseKitOptions(['--shape', 'n=992,k=656,L=12,d=512'])).toMatchObject({
    shape: { n: 992, k: 656, layers: 12, width: 512, heads: 8 },
  });
  expect(parseKitOptions(['--help'])).toBe('help');
});

test.each([
  [['--systems', 'A,E'], '--systems: "E" is none of A, B, Bprime, C, D, G, Gkv'],
  [['--rounds', '0'], '--rounds must be a whole number from 1 to 9999, not "0"'],
  [['--smoke', '--quick'], '--smoke and --quick are two sizes; name one'],
  [['--shape', 'n=1,k=1,L=1,d=2', '--release', 'x'], '--shape makes a release of its own; name it or --release'],
  [['--shape', 'n=1'], '--shape: k (candidates) is missing'],
  [['--slow'], "Unknown option '--slow'"],
])('%j is refused', (args, sentence) => {
  expect(() => parseKitOptions(args)).toThrow(sentence);
});

import { invalidArgument } from '@onepass/errors';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quoted, resolveBudgets, resolveUtilityWeights, slateId, Violations } from './index.js';

const settings = { seed: 13, numRuns: 300 };
const OUTCOMES = ['click', 'save', 'any'];

function budgets(...given: [string, number, number?][]) {
  const violations = new Violations();
  const resolved = resolveBudgets(
    given.map(([outcome, share, offsetMs = 0]) => ({ outcome, share, offsetMs })),
    OUTCOMES,
    violations,
  );
  violations.throwIfAny();
  return resolved;
}

test('shares come to one and keep their proportions, however large or small', () => {
  const share = fc.double({ min: 0, max: Number.MAX_VALUE, noNaN: true });
  fc.assert(
    fc.property(fc.array(share, { minLength: 1, maxLength: 16 }), (shares) => {
      fc.pre(shares.some((s) => s > 0));
      const resolved = budgets(...shares.map((s): [string, number] => ['any', s]));
      expect(resolved.reduce((sum, b) => sum + b.share, 0)).toBeCloseTo(1, 12);
      for (const { share } of resolved) expect(share).toBeGreaterThan(0);
    }),
    settings,
  );
  expect(budgets(['save', 3], ['any', 1]).map((b) => b.share)).toEqual([0.75, 0.25]);
  expect(budgets()).toEqual([]);
});

test.each<[string, [string, number, number?][], string]>([
  ['sums to nothing', [['any', 0]], 'outcome_budgets: the shares sum to nothing'],
  [
    'NaN',
    [
      ['any', 1],
      ['any', Number.NaN],
    ],
    'outcome_budgets[1].share: must be finite and not negative',
  ],
  [
    'infinite',
    [
      ['any', 1],
      ['any', Number.POSITIVE_INFINITY],
    ],
    'outcome_budgets[1].share: must be finite',
  ],
  [
    'negative',
    [
      ['any', -1],
      ['any', 2],
    ],
    'outcome_budgets[0].share: must be finite and not negative',
  ],
  ['unknown', [['buy', 1]], 'outcome_budgets[0].outcome: "buy" is not one of click, save, any'],
  ['offset', [['any', 1, -5]], 'outcome_budgets[0].offset_ms: must be from 0 to'],
  ['many', Array.from({ length: 33 }, () => ['any', 1]), 'outcome_budgets: has 33 entries, must have 0 to 32'],
])('budgets: %s', (_, given, message) => {
  expect(() => budgets(...given)).toThrow(message);
});

test('weights of the request replace those of the release; wrong ones are named', () => {
  const actions = [
    { name: 'click', utilityWeight: 1 },
    { name: 'hide', utilityWeight: -2 },
  ];
  const violations = new Violations();
  expect(resolveUtilityWeights(actions, { hide: -5 }, violations)).toEqual({ click: 1, hide: -5 });
  violations.throwIfAny();
  resolveUtilityWeights(actions, { click: Number.NaN, hide: 1e300, toString: 1 }, violations);
  expect(() => violations.throwIfAny()).toThrow(
    'utility_weights["click"]: must be a number from -1000000 to 1000000; utility_weights["hide"]: must be a number from ' +
      '-1000000 to 1000000; utility_weights["toString"]: is not an action of the release',
  );
});

test('ids: bytes are counted, not characters', () => {
  const violations = new Violations();
  violations.id('a', 'é'.repeat(64));
  violations.optionalId('b', '');
  violations.throwIfAny();
  violations.id('c', 'é'.repeat(65));
  violations.id('d', '');
  expect(() => violations.throwIfAny()).toThrow('c: is 130 bytes long, the limit is 128; d: must not be empty');
});

test('an error stays small whatever is wrong', () => {
  const violations = new Violations();
  for (let i = 0; i < 1000; i++) violations.word(`events[${i}].surface`, 'x'.repeat(1_000_000), ['home']);
  expect(() => violations.throwIfAny()).toThrow(/request: 984 more are wrong$/);
  expect(quoted('x'.repeat(50)).length).toBe(45);
});

test('what a decoder refuses joins the other violations; a defect does not', () => {
  const violations = new Violations();
  expect(violations.attempt(() => 7)).toBe(7);
  const refuse = () => {
    throw invalidArgument('embedding', 'is NaN');
  };
  expect(violations.attempt(refuse)).toBeUndefined();
  expect(() => violations.throwIfAny()).toThrow('embedding: is NaN');
  expect(() => violations.attempt(() => JSON.parse('{'))).toThrow(SyntaxError);
});

test('slate ids sort by time', () => {
  const entropy = Buffer.alloc(12, 255);
  expect(slateId(999, entropy) < slateId(1_000_000_000_000, entropy)).toBe(true);
  expect(slateId(1_800_000_000_000, entropy)).toMatch(/^s-[0-9a-z]{9}[\w-]{16}$/);
});

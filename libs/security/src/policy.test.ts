import { PRIORITIES } from '@onepass/admission';
import { expect, test } from 'vitest';
import { parsePolicy } from './policy.js';

const METHODS = new Set(['/a.v1.One/Get', '/a.v1.One/Put', '/a.v1.Two/Get']);
const parse = (policy: unknown) => parsePolicy(JSON.stringify(policy), 'ONEPASS_POLICY: p.json', METHODS);
const caller = { name: 'feed', identities: ['spiffe://feed'], methods: ['a.v1.One/*'] };

test('a caller may do what it is given, by name or by service, and nothing else', () => {
  const both = {
    ...caller,
    name: 'both',
    identities: ['b.example', 'b2.example'],
    methods: ['a.v1.One/Put', 'a.v1.Two/*'],
  };
  const policy = parse({ callers: [caller, { ...both, privileges: ['as_of'] }] });
  const may = (identity: string) => {
    const found = policy.callerOf([identity]);
    return [...METHODS, '/a.v1.One/Other', '/a.v1.OneMore/Get'].map((method) => found?.mayCall(method));
  };
  expect(may('spiffe://feed')).toEqual([true, true, false, true, false]);
  expect(may('b2.example')).toEqual([false, true, true, false, false]);
  expect(may('unknown')).toEqual([undefined, undefined, undefined, undefined, undefined]);
  expect(policy.callerOf(['unknown', 'b.example', 'spiffe://feed'])?.name).toBe('both');
  expect(policy.callers.map((c) => [c.may('as_of'), c.may('pin_release')])).toEqual([
    [false, false],
    [true, false],
  ]);
  expect(policy.callerOf([])).toBeUndefined();
});

test('a caller asks for a priority up to its highest', () => {
  const { callers } = parse({
    callers: [
      { ...caller, highestPriority: 'prefetch' },
      { ...caller, name: 'x', identities: ['x'] },
    ],
  });
  expect(callers.map((c) => PRIORITIES.map((asked) => c.priority(asked)))).toEqual([
    ['prefetch', 'prefetch', 'batch'],
    ['interactive', 'prefetch', 'batch'],
  ]);
});

test.each([
  [{}, 'callers: Invalid input: expected array, received undefined'],
  [[], 'Invalid input: expected object, received array'],
  [{ callers: [], extra: 1 }, 'Unrecognized key: "extra"'],
  [{ callers: [{ ...caller, identities: [] }] }, 'callers[0].identities: Too small'],
  [{ callers: [{ ...caller, name: 'A B' }] }, 'callers[0].name: must be of small letters'],
  [{ callers: [{ ...caller, methods: ['a.v1.One'] }] }, 'callers[0].methods[0]: there is no method "a.v1.One"'],
  [{ callers: [{ ...caller, methods: ['*'] }] }, 'callers[0].methods[0]: there is no method "*"'],
  [{ callers: [{ ...caller, methods: ['a.v1.One/Got'] }] }, 'callers[0].methods[0]: there is no method "a.v1.One/Got"'],
  [{ callers: [{ ...caller, privileges: ['root'] }] }, 'callers[0].privileges[0]: Invalid option'],
  [{ callers: [{ ...caller, limits: { requestsPerSecond: 0 } }] }, 'callers[0].limits.requestsPerSecond: Too small'],
  [{ callers: [{ ...caller, highestPriority: 'top' }] }, 'callers[0].highestPriority: Invalid option'],
  [{ callers: [{ ...caller, limits: { burst: 5 } }] }, 'callers[0].limits.burst: means nothing without'],
  [{ callers: [{ ...caller, limits: { concurrent: 1.5 } }] }, 'callers[0].limits.concurrent: Invalid input'],
  [
    { callers: [caller, { ...caller, identities: ['x'] }] },
    'callers[1].name: name "feed" is that of callers[0].name too',
  ],
  [{ callers: [caller, { ...caller, name: 'x' }] }, 'callers[1].identities[0]: identity "spiffe://feed" is that of'],
])('%j is refused', (policy, sentence) => {
  expect(() => parse(policy)).toThrow(`ONEPASS_POLICY: p.json: ${sentence}`);
});

test('what is not JSON is refused', () => {
  expect(() => parsePolicy('{', 'ONEPASS_POLICY: p.json', METHODS)).toThrow('ONEPASS_POLICY: p.json is not JSON: ');
});

import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { callItLines } from './call-it.js';

test('each command is what a shell would be given, whatever the item is called', () => {
  // The programs are replaced by one that shows its arguments, one a line.
  const commands = callItLines('127.0.0.1:1', `it's "9" \\ 10`)
    .join('\n')
    .replace(/^(grpcurl|ghz)/gm, 'shown');
  const shown = execFileSync('bash', [
    '-euc',
    `shown() { echo =====; printf '%s\\0' "$@" | tr '\\n' ' ' | tr '\\0' '\\n'; }\n${commands}`,
  ]);
  const calls = shown
    .toString()
    .split('=====\n')
    .slice(1)
    .map((call) => call.trim().split('\n'));
  expect(calls.map((args) => args.at(-1))).toEqual([
    'onepass.gateway.v1.RecommendationService/Recommend',
    'onepass.gateway.v1.RecommendationService/Recommend',
    'onepass.gateway.v1.EventService/LogActions',
    '127.0.0.1:1',
  ]);
  expect(JSON.parse(calls[1]?.[2] ?? '').search.text).toBe('rustic teal mug');
  expect(JSON.parse(calls[2]?.[2] ?? '').events[0].item_id).toBe(`it's "9" \\ 10`);
  expect(JSON.parse(calls[0]?.[2] ?? '')).toEqual(JSON.parse(calls[3]?.at(-2) ?? ''));
});

test('a line fits 110 columns', () => {
  expect(Math.max(...callItLines('127.0.0.1:50050', 'i00042').map((line) => line.length + 2))).toBeLessThanOrEqual(110);
});

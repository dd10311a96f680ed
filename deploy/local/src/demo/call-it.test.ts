import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { callItLines, type Example } from './call-it.js';

const example: Example = { surface: 'home', itemId: 'i00042', action: 'save', searchText: 'rustic teal mug' };

test('each command is what a shell would be given, whatever the item is called', () => {
  // The programs are replaced by one that shows its arguments, one a line.
  const commands = callItLines('127.0.0.1:1', { ...example, itemId: `it's "9" \\ 10`, searchText: `ada's mug` })
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
  expect(JSON.parse(calls[1]?.[2] ?? '').search.text).toBe(`ada's mug`);
  expect(JSON.parse(calls[2]?.[2] ?? '').events[0].item_id).toBe(`it's "9" \\ 10`);
  expect(JSON.parse(calls[0]?.[2] ?? '')).toEqual(JSON.parse(calls[3]?.at(-2) ?? ''));
});

test('a line fits 110 columns', () => {
  expect(
    Math.max(
      ...callItLines('127.0.0.1:50050', { ...example, searchText: 'w'.repeat(40) }).map((line) => line.length + 2),
    ),
  ).toBeLessThanOrEqual(110);
});

test('the names are the release’s, and without a search by text there is no search', () => {
  const lines = callItLines('127.0.0.1:1', { ...example, surface: 'front', action: 'like', searchText: undefined });
  expect(lines.filter((line) => /^\w/.test(line))).toHaveLength(3);
  expect(lines.join()).toContain('"actions":["like"],"surface":"front"');
  expect(lines.join()).not.toMatch(/home|search|save/);
});

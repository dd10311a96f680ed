import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './paths.mjs';

const read = (/** @type {string} */ path) => readFileSync(join(root, path), 'utf8');
const operations = read('docs/operations.md');

/**
 * The names that `pattern` finds in a file, and docs/operations.md does not hold.
 * @param {string} path
 * @param {RegExp} pattern
 */
function unexplained(path, pattern) {
  const names = [...read(path).matchAll(pattern)].map((match) => match[1]);
  expect(names.length).toBeGreaterThan(3);
  return names.filter((name) => !operations.includes(`\`${name}\``));
}

test('every alert is explained', () => {
  expect(unexplained('deploy/telemetry/alerts.yml', /- alert: (\w+)/g)).toEqual([]);
});

test('every degraded reason is explained', () => {
  const [, reasons = ''] = read('proto/onepass/common/v1/common.proto').split('message Degraded');
  expect(
    [...reasons.matchAll(/(REASON_(?!UNSPECIFIED)\w+) =/g)].filter(([, name]) => !operations.includes(`\`${name}\``)),
  ).toEqual([]);
});

test('every kill switch is explained', async () => {
  const { SWITCHES } = await import('../../libs/contracts/dist/switches.js');
  expect(SWITCHES.filter((name) => !operations.includes(`| \`${name}\` |`))).toEqual([]);
});

test('every metric it names exists', async () => {
  const { METRICS } = await import('../../libs/telemetry/dist/schema/index.js');
  const named = [...operations.matchAll(/`(onepass\.[a-z_.]+?)(\.\*)?[`{]/g)];
  expect(named.length).toBeGreaterThan(5);
  const exists = (/** @type {string} */ name) =>
    Object.keys(METRICS).some((metric) => metric === name || metric.startsWith(`${name}.`));
  expect(named.map(([, name = '']) => name).filter((name) => !exists(name))).toEqual([]);
});

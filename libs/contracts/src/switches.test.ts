import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Measurements } from '@onepass/telemetry';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { isServing } from './health.js';
import { startServer } from './server.js';
import { openSwitches, type Switches } from './switches.js';

let folder: string;
let file: string;
let lines: [string, object][];
let measurements: Measurements;
const opened: Switches[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'onepass-switches-'));
  file = join(folder, 'switches.json');
  lines = [];
  measurements = new Measurements();
});
afterEach(() => {
  for (const switches of opened.splice(0)) switches.close();
  rmSync(folder, { recursive: true });
});

const keep = (fields: object, line: string) => void lines.push([line, fields]);
const logger = { debug: keep, info: keep, warn: keep, error: keep };
const write = (text: string) => writeFileSync(file, text);
async function open(): Promise<Switches> {
  const switches = await openSwitches(file, logger, measurements);
  opened.push(switches);
  return switches;
}
const gauge = (name: string) => measurements.snapshot()[`onepass.switch{onepass.switch.name="${name}"}`];

const files = (outcome: string) =>
  measurements.snapshot()[`onepass.files.replaced{onepass.files="switches",onepass.files.outcome="${outcome}"}`];

test('an absent file is all off; what is written holds, is said and is measured', async () => {
  const switches = await open();
  expect([switches.isOn('drain'), gauge('drain')]).toEqual([false, 0]);
  write('{ "drain": true, "popular_only": false }');
  await vi.waitUntil(() => switches.isOn('drain'));
  expect([gauge('drain'), gauge('popular_only')]).toEqual([1, 0]);
  expect(lines).toEqual([['a kill switch was turned', { switch: 'drain', on: true }]]);
  rmSync(file);
  await vi.waitUntil(() => !switches.isOn('drain'));
  expect(lines.at(-1)).toEqual(['a kill switch was turned', { switch: 'drain', on: false }]);
});

test('a broken file leaves the last good state, and is said once', async () => {
  write('{ "popular_only": true }');
  const switches = await open();
  write('{ "popular_only": tr');
  await vi.waitUntil(() => lines.length === 2);
  write('{ "popular_olny": false }');
  await vi.waitUntil(() => lines.length === 3);
  expect(switches.isOn('popular_only')).toBe(true);
  expect(lines[2]).toEqual([
    'the file of switches is broken: they stay as they are',
    { file, why: expect.stringMatching(/^must be a JSON object of true or false by .*; there is no "popular_olny"$/) },
  ]);
  expect([files('left'), files('taken')]).toEqual([2, undefined]);
  write('{}');
  await vi.waitUntil(() => !switches.isOn('popular_only'));
  expect(files('taken')).toBe(1);
});

test.each([
  ['no JSON', 'drain', 'must be a JSON object'],
  ['a list', '["drain"]', 'must be a JSON object'],
  ['a switch that is none', '{"dran": true}', 'there is no "dran"'],
  ['neither true nor false', '{"drain": 1}', 'drain is neither'],
])('%s is refused at start', async (_, text, why) => {
  write(text);
  await expect(open()).rejects.toMatchObject({ kind: 'startup', message: expect.stringContaining(why) });
  await expect(open()).rejects.toThrow(`ONEPASS_SWITCHES: ${file} must be`);
});

test('once closed, it looks no more, though it was looking just then', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const switches = await open();
    write('{ "drain": true }');
    vi.advanceTimersToNextTimer();
    switches.close();
    await vi.waitUntil(() => lines.length > 0);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test('drain: health says NOT_SERVING until it is turned off', async () => {
  const switches = await open();
  const at = { role: 'test', host: '127.0.0.1', port: 0, services: [], logger, measurements, switches };
  const server = await startServer(at);
  try {
    server.setServing(true);
    expect(await isServing(server.address, 5_000)).toBe(true);
    write('{ "drain": true }');
    await vi.waitUntil(async () => !(await isServing(server.address, 5_000)));
    write('{ "drain": false }');
    await vi.waitUntil(() => isServing(server.address, 5_000));
  } finally {
    await server.stop(0);
  }
});

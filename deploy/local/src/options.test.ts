import { expect, test } from 'vitest';
import { parseOptions } from './options.js';

const parse = (...args: string[]) => parseOptions(args, '/checkout');

test('defaults: the default release and data of this checkout, and a demo', () => {
  expect(parse()).toEqual({
    port: 50050,
    releaseDir: '/checkout/releases/default',
    cells: 1,
    deviceCell: false,
    deviceGraphs: undefined,
    dataDir: '/checkout/.onepass/data',
    demo: true,
    smoke: false,
  });
});

test('a smoke run takes free ports and keeps nothing', () => {
  expect(parse('--smoke')).toMatchObject({ port: undefined, dataDir: undefined, smoke: true });
  expect(parse('--smoke', '--port', '6000')).toMatchObject({ port: 6000 });
  expect(parse('--ephemeral', '--no-demo')).toMatchObject({ port: 50050, dataDir: undefined, demo: false });
});

test('several cells, whose ports lie behind the first four', () => {
  expect(parse('--cells', '3')).toMatchObject({ cells: 3, port: 50050 });
  expect(() => parse('--cells', '3', '--port', '65529')).toThrow('--port must be a whole number from 1 to 65528');
});

test('device graphs that are given are for a device cell', () => {
  expect(parse('--device-cell')).toMatchObject({ deviceCell: true, deviceGraphs: undefined });
  expect(parse('--device-graphs', '/graphs')).toMatchObject({ deviceCell: true, deviceGraphs: '/graphs' });
});

test('device graphs may be set in the environment, for a device cell alone; the option wins', () => {
  const set = (args: string[], directory = '/set') =>
    parseOptions(args, '/checkout', { ONEPASS_DEVICE_GRAPHS: directory });
  expect(set(['--device-cell'])).toMatchObject({ deviceGraphs: '/set' });
  expect(set(['--device-graphs', '/graphs'])).toMatchObject({ deviceGraphs: '/graphs' });
  expect(set([])).toMatchObject({ deviceCell: false, deviceGraphs: undefined });
  expect(set(['--device-cell'], '')).toMatchObject({ deviceGraphs: undefined });
});

test('help wins', () => {
  expect(parse('--help', '--port', 'x')).toBe('help');
});

test.each([
  [['--port', '65533'], '--port must be a whole number from 1 to 65532, not "65533"'],
  [['--port', ''], '--port must be a whole number'],
  [['--port', '1e3.5'], '--port must be a whole number'],
  [['--cells', '0'], '--cells must be a whole number from 1 to 16, not "0"'],
  [['--cells', 'two'], '--cells must be a whole number from 1 to 16'],
  [['--device-graphs', ''], '--device-graphs must name a directory'],
  [['--data', 'd', '--ephemeral'], '--data and --ephemeral exclude each other'],
  [['--relaese', 'r'], "Unknown option '--relaese'"],
  [['stray'], "Unexpected argument 'stray'"],
])('%j is refused', (args, sentence) => {
  expect(() => parse(...args)).toThrow(sentence);
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { parseOptions } from './options.js';

const CELLS = 'encoder=a:1,ranking=a:2;encoder=b:1,ranking=b:2,name=two;encoder=d:1,ranking=d:2,state=draining';
const parse = (args: readonly string[], env: Record<string, string> = {}) => parseOptions(args, '/repo', env);

test('all active people of all cells, behind everything else', () => {
  expect(parse(['--cells', CELLS])).toMatchObject({
    kind: 'prewarm',
    cells: [
      { name: 'a:1', encoder: 'a:1' },
      { name: 'two', encoder: 'b:1' },
    ],
    cell: undefined,
    releaseDir: '/repo/releases/default',
    place: 'lmdb',
    dataDir: '/repo/.onepass/data',
    activeWithinMs: 7 * 86_400_000,
    rate: 50,
    inFlight: 1,
    most: undefined,
    dryRun: false,
  });
});

test('cells, data and store as the environment has them, unless an option says otherwise', () => {
  const env = { ONEPASS_CELLS: CELLS, ONEPASS_DATA_DIR: '/env' };
  expect(parse([], env)).toMatchObject({ cells: [{ name: 'a:1' }, { name: 'two' }], dataDir: '/env' });
  expect(parse(['--data', '/own', '--cells', 'encoder=c:9,ranking=c:8'], env)).toMatchObject({
    cells: [{ name: 'c:9' }],
    dataDir: '/own',
  });
  const redis = { ...env, ONEPASS_HISTORY: 'redis://h:6379' };
  expect(parse([], redis)).toMatchObject({ place: { nodes: [{ host: 'h', port: 6379 }] } });
});

test('one cell, so many people of it, at a rate', () => {
  const args = '--cell two --active-within 36h --rate 2.5 --in-flight 4 --most 10 --dry-run --release /r'.split(' ');
  expect(parse(['--cells', CELLS, ...args])).toMatchObject({
    cell: 'two',
    activeWithinMs: 36 * 3_600_000,
    rate: 2.5,
    inFlight: 4,
    most: 10,
    dryRun: true,
    releaseDir: '/r',
  });
  expect(parse(['--cells', CELLS, '--active-within', '5m'])).toMatchObject({ activeWithinMs: 300_000 });
  expect(parse(['--smoke', '--release', '/r'])).toEqual({ kind: 'smoke', releaseDir: '/r' });
  expect(parse(['--help', '--smoke'])).toEqual({ kind: 'help' });
});

test.each<[string[], string]>([
  [[], '--cells CELLS says which cells there are'],
  [['--cells', 'a:1'], '--cells: must look like encoder=HOST:PORT,ranking=HOST:PORT, not "a:1"'],
  [['--cells', `${CELLS};encoder=a:1,ranking=c:1`], '--cells: names one encoder twice'],
  [['--cells', 'encoder=a:1,ranking=a:2,state=draining'], '--cells has no cell that takes people: all are draining'],
  [['--cells', 'encoder=a:1,ranking=a:2,ranking-encoder=a:3'], '--cells has a ranking-encoder'],
  [['--cells', CELLS, '--cell', 'd:1'], '--cell d:1 is none that takes people in --cells, which has a:1, two'],
  [['--cells', CELLS, '--active-within', 'a week'], '--active-within must be a time such as 7d, 12h or 30m'],
  [['--cells', CELLS, '--active-within', '0d'], '--active-within must be a time'],
  [['--cells', CELLS, '--rate', '0'], '--rate must be a number from 0.1 to 100000, not "0"'],
  [['--cells', CELLS, '--in-flight', '1.5'], '--in-flight must be a whole number from 1 to 64, not "1.5"'],
  [['--cells', CELLS, '--most', 'all'], '--most must be a whole number from 1'],
  [['--cell'], 'argument missing'],
])('%j is refused in one sentence', (args, says) => {
  expect(() => parse(args)).toThrow(says);
});

test('a file of cells in the place of the variable, as the gateways read it', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'onepass-cells-'));
  const file = join(dataDir, 'cells');
  writeFileSync(file, '# two\nencoder=a:1,ranking=a:2\n\nencoder=b:1,ranking=b:2,state=draining\n');
  const env = { ONEPASS_CELLS: CELLS, ONEPASS_CELLS_FILE: file };
  expect(parse([], env)).toMatchObject({ cells: [{ name: 'a:1' }] });
  expect(parse(['--cells-file', file], { ONEPASS_CELLS: CELLS })).toMatchObject({ cells: [{ name: 'a:1' }] });
  expect(parse(['--data', dataDir])).toMatchObject({ cells: [{ name: 'a:1' }] });
  expect(parse(['--data', dataDir], { ONEPASS_CELLS: CELLS })).toMatchObject({
    cells: [{ name: 'a:1' }, { name: 'two' }],
  });
  expect(parse(['--cells', 'encoder=c:1,ranking=c:2'], env)).toMatchObject({ cells: [{ name: 'c:1' }] });
  writeFileSync(file, 'encoder=a:1\n');
  expect(() => parse([], env)).toThrow(`--cells-file ${file}: line 1 must look like encoder=HOST:PORT`);
  rmSync(dirname(file), { recursive: true });
  expect(() => parse([], env)).toThrow(/^--cells-file .*: ENOENT/);
  expect(() => parse(['--cells', CELLS, '--cells-file', file])).toThrow('--cells and --cells-file exclude each other');
});

test('a directory beside a Redis is refused, and a Redis that is none without its password', () => {
  const env = { ONEPASS_CELLS: CELLS };
  expect(() => parse(['--data', '/d'], { ...env, ONEPASS_HISTORY: 'redis://h:1' })).toThrow('--data does not go with');
  const wrong = () => parse([], { ...env, ONEPASS_HISTORY: 'redis://ada:s3cret@host' });
  expect(wrong).toThrow('ONEPASS_HISTORY: must be lmdb or redis://');
  expect(wrong).not.toThrow('s3cret');
});

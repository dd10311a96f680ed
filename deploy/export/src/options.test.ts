import { expect, test } from 'vitest';
import { parseOptions } from './options.js';

const parse = (...args: string[]) => parseOptions(args, '/repo');

test('an export of this machine’s mesh, or of a Redis', () => {
  expect(parse('--out', '/out')).toEqual({
    kind: 'export',
    place: 'lmdb',
    dataDir: '/repo/.onepass/data',
    out: '/out',
    sinceMs: undefined,
  });
  const since = parse('--data', '/data', '--out', '/out', '--since', '2026-11-21T10:00:00Z');
  expect(since).toMatchObject({ dataDir: '/data', sinceMs: 1_795_255_200_000 });
  const redis = parse('--history', 'redis://127.0.0.1:6379', '--out', '/out');
  expect(redis).toMatchObject({ place: { nodes: [{ host: '127.0.0.1', port: 6379 }] } });
});

test('a replay, a compaction, help', () => {
  expect(parse('--replay', '/out')).toEqual({
    kind: 'replay',
    directory: '/out',
    releaseDir: '/repo/releases/default',
  });
  expect(parse('--replay', '/out', '--release', '/r')).toMatchObject({ releaseDir: '/r' });
  expect(parse('--compact', '--data', '/data')).toEqual({ kind: 'compact', place: 'lmdb', dataDir: '/data' });
  expect(parse('--help', '--replay', '/out', '--compact')).toEqual({ kind: 'help' });
});

test.each([
  [[], '--out DIR says where the export goes'],
  [['--out', 'o', '--data', 'd', '--history', 'redis://h:1'], '--data and --history exclude each other'],
  [['--out', 'o', '--since', 'yesterday'], '--since must be a time such as 2026-11-21T10:00:00Z, not "yesterday"'],
  [['--out', 'o', '--since', '2026-13-77'], '--since must be a time'],
  [['--out', 'o', '--release', 'r'], '--release does not go with an export'],
  [['--replay', 'x', '--out', 'o'], '--out does not go with --replay'],
  [['--replay', 'x', '--compact'], '--compact does not go with --replay'],
  [['--compact', '--out', 'o'], '--out does not go with --compact'],
  [['--output', 'o'], "Unknown option '--output'"],
])('%j is refused in one sentence', (args, says) => {
  expect(() => parse(...(args as string[]))).toThrow(says as string);
});

test('a URL that is wrong is refused without its password', () => {
  const wrong = () => parse('--history', 'redis://ada:s3cret@host', '--out', 'o');
  expect(wrong).toThrow('--history must be lmdb or redis://');
  expect(wrong).not.toThrow('s3cret');
});

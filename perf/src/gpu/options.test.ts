import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { batchesUpTo, HELP, parseGpuOptions, shapeFor } from './options.js';

test('each device has its defaults, and what is given goes before them', () => {
  const options = parseGpuOptions(['--k', '100', '--dtype', 'float32']);
  if (options === 'help') throw new Error('not help');
  expect(options).toMatchObject({ device: 'auto', rounds: 7, smoke: false, soak: undefined, people: 10_000 });
  const onGpu = { layers: 12, width: 768, heads: 12, n: 992, k: 100, batch: 8, dtype: 'float32' };
  expect(shapeFor('cuda:0', options.shape)).toEqual(onGpu);
  expect(shapeFor('cpu', {})).toMatchObject({ layers: 4, width: 128, heads: 4, n: 256, k: 200, dtype: 'float32' });
});

test('libraries are those of the option, else of the setting that services have', () => {
  const env = { ONEPASS_ONNXRUNTIME_DIR: '/of/setting' };
  expect(parseGpuOptions([], env)).toMatchObject({ libraries: '/of/setting' });
  expect(parseGpuOptions(['--libraries', '/given'], env)).toMatchObject({ libraries: '/given' });
  expect(parseGpuOptions([], { ONEPASS_ONNXRUNTIME_DIR: '' })).toMatchObject({ libraries: undefined });
});

test('a smoke run is tiny and on the CPU, whatever is installed', () => {
  expect(parseGpuOptions(['--smoke'])).toMatchObject({ device: 'cpu', rounds: 2, smoke: true, shape: { width: 32 } });
  expect(parseGpuOptions(['--smoke', '--n', '64', '--soak', '100'])).toMatchObject({
    shape: { n: 64 },
    soak: 100,
    people: 50,
  });
});

test.each([
  [['--device', 'gpu'], '--device must be auto, cpu or cuda:0'],
  [['--device', 'cuda'], '--device must be'],
  [['--smoke', '--device', 'cuda:0'], '--smoke runs on the CPU'],
  [['--layers', '0'], '--layers must be a whole number from 1 to 96, not "0"'],
  [['--n', '1.5'], '--n must be a whole number'],
  [['--k', '2001'], '--k must be'],
  [['--batch', '6'], '--batch must be a power of two, not 6'],
  [['--batch', '128'], '--batch must be a whole number from 1 to 64'],
  [['--dtype', 'bf16'], '--dtype must be float16 or float32, not "bf16"'],
  [['--rounds', 'many'], '--rounds must be'],
  [['--people', '5'], '--people is of a soak'],
  [['--check', '--soak', '5'], '--check and --soak are runs of their own: give one of them'],
  [['--all', '--tell', 'x'], '--all and --tell are runs of their own'],
  [['--minutes', '0.5'], '--minutes must be a whole number'],
  [['--tell', 'x', '--layers', '3'], '--tell has no use for --layers'],
  [['--tell', 'x', '--smoke'], '--tell has no use for --smoke'],
  [['--all', '--n', '40'], '--all has no use for --n'],
  [['--check', '--rounds', '3'], '--check has no use for --rounds'],
  [['--soak', '5', '--rounds', '3'], '--soak has no use for --rounds'],
  [['--smoke', '--out', 'x'], '--smoke keeps no findings'],
  [['--smoke', '--soak', '5', '--out', 'x'], '--smoke keeps no findings'],
  [['--colour'], "Unknown option '--colour'"],
])('%s is refused in a sentence', (args, says) => {
  expect(() => parseGpuOptions(args)).toThrow(says);
});

test('what says where and with what is no conflict', () => {
  const machine = ['--python', 'p', '--libraries', 'l', '--out', 'x'];
  for (const run of [
    ['--tell', 'y'],
    ['--all'],
    ['--check'],
    ['--soak', '5'],
    ['--check', '--smoke'],
    ['--all', '--smoke'],
  ])
    expect(parseGpuOptions([...run, ...machine])).toMatchObject({ out: resolve('x') });
});

test('width and heads must fit', () => {
  expect(() => shapeFor('cpu', { width: 100, heads: 3 })).toThrow('--width 100 cannot be cut into 3 heads');
});

test('help tells every option', () => {
  expect(parseGpuOptions(['--help'])).toBe('help');
  for (const option of 'device layers width heads n k batch dtype rounds soak people python libraries smoke check all minutes tell out'.split(
    ' ',
  )) {
    expect(HELP).toContain(`  --${option} `);
  }
});

test('batches are powers of two', () => {
  expect(batchesUpTo(8)).toEqual([1, 2, 4, 8]);
  expect(batchesUpTo(1)).toEqual([1]);
});

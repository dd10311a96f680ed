import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '@onepass/config';
import { edgeSettings, openEdge } from '@onepass/contracts';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openCells } from './open-cells.js';

let folder: string;
let file: string;
const ends: (() => void)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'onepass-cells-'));
  file = join(folder, 'cells');
});
afterEach(() => {
  for (const end of ends.splice(0)) end();
  rmSync(folder, { recursive: true });
});

/** Nobody listens there. */
const line = (name: string, more = '') => `name=${name},encoder=127.0.0.1:1${name},ranking=127.0.0.1:2${name}${more}\n`;
async function open(path = file) {
  const edge = await openEdge('gateway', readSettings(edgeSettings, { ONEPASS_LOG_LEVEL: 'silent' }));
  const lines: [string, object][] = [];
  const keep = (fields: object, said: string) => void lines.push([said, fields]);
  const logger = { debug: keep, info: keep, warn: keep, error: keep };
  const settings = { cells: [], cellsFile: path, cellWarmUpMs: 0, host: '127.0.0.1', port: 14 };
  const opened = openCells(settings, { ...edge, logger });
  ends.push(() => {
    opened.close();
    void edge.close();
  });
  const files = (outcome: string) =>
    edge.measurements.snapshot()[`onepass.files.replaced{onepass.files="cells",onepass.files.outcome="${outcome}"}`];
  const seen = () =>
    opened.cells
      .inOrder('')
      .map(({ name }) => name)
      .sort();
  const until = (...names: string[]) => vi.waitFor(() => expect(seen()).toEqual(names));
  return { ...opened, files, seen, until, lines };
}

test('a file that changes is taken up: cells come, drain and go', async () => {
  writeFileSync(file, `# two\n${line('1')}${line('2', ',state=draining')}`);
  const { cells, until, files, seen } = await open();
  expect(seen()).toEqual(['1', '2']);
  const states = () => cells.holders().map(({ name, life }) => [name, life.stateAt(performance.now())]);
  expect(states()).toEqual([
    ['1', 'serving'],
    ['2', 'draining'],
  ]);
  writeFileSync(file, line('1') + line('3'));
  await until('1', '3');
  expect([files('taken'), files('left')]).toEqual([1, 0]);
  // The one that left is asked to forget still.
  expect(states().map(([name]) => name)).toEqual(['1', '3', '2']);
});

test('a mounted folder whose link is turned, as Kubernetes does with a ConfigMap, is followed', async () => {
  for (const [revision, names] of [
    ['one', ['1']],
    ['two', ['1', '2']],
  ] as const) {
    const data = mkdtempSync(join(folder, revision));
    writeFileSync(join(data, 'cells'), names.map((name) => line(name)).join(''));
    symlinkSync(data, join(folder, `..${revision}`));
  }
  renameSync(join(folder, '..one'), join(folder, '..data'));
  const { until } = await open(join(folder, '..data', 'cells'));
  renameSync(join(folder, '..two'), join(folder, '..data'));
  await until('1', '2');
});

test.each([
  ['empty', '', 'names no cell'],
  ['garbage', '\u0000\u0001{', 'line 1 must look like'],
  ['cut short', `${line('1')}name=2,encoder=127.0.0.1:12,rank`, 'line 2 must look like'],
  ['one cell twice', line('1') + line('1'), 'names one encoder twice'],
  ['this gateway', line('4'), 'names 127.0.0.1:14, where this gateway itself listens'],
])(
  'a file that is no good (%s): refused at start; later, the cells stay, in one line of the log',
  async (_, text, why) => {
    writeFileSync(file, text);
    await expect(open()).rejects.toMatchObject({ kind: 'startup', message: expect.stringContaining(why) });
    await expect(open()).rejects.toThrow(`ONEPASS_CELLS_FILE: ${file} `);
    writeFileSync(file, line('1') + line('2'));
    const { until, seen, files, lines } = await open();
    writeFileSync(file, text);
    await vi.waitFor(() => expect(files('left')).toBe(1));
    // Looked at again and again, and said once.
    const looked = Date.now() + 600;
    await vi.waitUntil(() => Date.now() > looked);
    const broken = lines.filter(([said]) => said.startsWith('new cells not taken: '));
    expect([seen(), broken.length, broken[0]?.[0]]).toEqual([['1', '2'], 1, expect.stringContaining(why)]);
    writeFileSync(file, line('2'));
    await until('2');
  },
);

test('a file that goes leaves the cells; one that was never there is a reason not to start', async () => {
  await expect(open()).rejects.toThrow('ONEPASS_CELLS_FILE: cannot be read: ENOENT');
  writeFileSync(file, line('1'));
  const { seen, files } = await open();
  rmSync(file);
  await vi.waitFor(() => expect(files('left')).toBe(1));
  expect(seen()).toEqual(['1']);
});

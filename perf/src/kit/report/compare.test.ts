import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Figure, FigureTable } from '../../summary.js';
import { compare, compareToSummary, formatComparison, hasWorsened, widen, writeSummary } from './compare.js';
import { madeUpFindings } from './fixture.suite.js';
import { MAIN_SHAPE } from './goals.js';
import { figuresOf, type KitFigure } from './numbers.js';

const machine = { cpu: 'A CPU', cores: 2 };
const old = (value: number, band?: [number, number]): Figure => ({
  value,
  ...(band && { band }),
  date: '2026-01-01',
  node: '20',
  ...machine,
});
const now = (name: string, value: number, band?: [number, number]): KitFigure => ({
  name,
  base: name,
  shape: MAIN_SHAPE,
  value,
  band,
  rounds: 3,
  detail: '',
  met: undefined,
});

test.each([
  ['qps_ratio_d_over_b', old(3, [2.9, 3.1]), [3.3, 3.2, 3.4], 'better'],
  ['qps_ratio_d_over_b', old(3, [2.9, 3.1]), [2.7, 2.6, 2.8], 'worse'],
  ['qps_ratio_d_over_b', old(3, [2.9, 3.1]), [3.15, 3.05, 3.3], 'within noise'],
  ['qps_ratio_d_over_b', old(3), [2.9, 2.8, 2.95], 'worse'],
  ['overhead_cpu_ms', old(2, [1.9, 2.1]), [2.5, 2.4, 2.6], 'worse'],
  ['overhead_cpu_ms_default', old(2, [1.9, 2.1]), [1.5, 1.4, 1.6], 'better'],
  ['overhead_cpu_ms', { ...old(2, [1.9, 2.1]), cpu: 'Another' }, [2.5, 2.4, 2.6], 'another machine'],
  ['qps_ratio_d_over_b', { ...old(3, [2.9, 3.1]), cpu: 'Another' }, [2.7, 2.6, 2.8], 'worse'],
] as const)('%s is judged by its bands', (name, before, [value, low, high], verdict) => {
  const [row] = compare({ [name]: before } as FigureTable, [now(name, value, [low, high])], machine);
  expect(row).toMatchObject({ verdict, ratio: value / before.value });
  expect(hasWorsened([row!])).toBe(verdict === 'worse');
});

test('without any band nothing is judged, and a new figure is new', () => {
  const rows = compare({ reuse_efficiency: old(1) }, [now('reuse_efficiency', 2), now('overhead_cpu_ms', 2)], machine);
  expect(rows.map(({ verdict }) => verdict)).toEqual(['no band', 'new']);
  expect(hasWorsened(rows)).toBe(false);
  expect(formatComparison(rows)).toContain('0 better, 0 worse, 0 within noise, 2 not judged.');
});

test('repeated runs widen a band, and never narrow it', () => {
  const [wide] = widen(
    [now('overhead_cpu_ms', 2, [1.9, 2.1])],
    [[now('overhead_cpu_ms', 3)], [now('overhead_cpu_ms', 2.5)]],
  );
  expect(wide?.band?.map((b) => b.toFixed(2))).toEqual(['1.00', '3.00']);
  const [same] = widen([now('overhead_cpu_ms', 2, [1, 3])], [[now('overhead_cpu_ms', 2)]]);
  expect(same?.band).toEqual([1, 3]);
});

test('figures go into the summary with their bands, beside what is there, and compare as within noise to themselves', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'onepass-compare-'));
  try {
    const findings = madeUpFindings();
    const figures = figuresOf(findings);
    await writeSummary(folder, figures);
    const { reuse_efficiency } = JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8')) as FigureTable;
    expect(reuse_efficiency?.band).toHaveLength(2);
    const rows = await compareToSummary(folder, figures, findings.machine);
    expect(rows).toHaveLength(figures.length);
    expect(rows.every(({ ratio }) => ratio === 1)).toBe(true);
    expect(hasWorsened(rows)).toBe(false);
  } finally {
    await rm(folder, { recursive: true });
  }
});

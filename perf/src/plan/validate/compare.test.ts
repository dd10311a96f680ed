import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { beyond, type Compared, errorsOf, rangeOf, readRange, worstOf, writeRange } from './compare.js';
import { validationPlot } from './plot.js';

const told = (held: number, p50Ms: number, p99Ms: number) => ({
  pages: 1_200,
  held,
  p50Ms,
  p99Ms,
  refused: 0,
  late: 0,
});
const ALL: Compared[] = [
  { cells: 1, slots: 160, people: 1_500, qps: 16, predicted: told(0.6, 20, 50), measured: told(0.61, 21, 40) },
  { cells: 2, slots: 160, people: 1_500, qps: 48, predicted: told(0.65, 30, 80), measured: told(0.6, 30, 90) },
];
const WHERE = { date: '2026-01-01', cpu: 'one', cores: 2, release: 'r' };

test('errors are those of each load, and the worst of all count', () => {
  expect(errorsOf(ALL[0]!).plan_p99_error).toBeCloseTo(0.25, 9);
  const worst = worstOf(ALL);
  expect(worst.plan_hit_rate_error).toBeCloseTo(0.05, 9);
  expect(worst.plan_p50_error).toBeCloseTo(1 / 21, 9);
  expect(worst.plan_p99_error).toBeCloseTo(0.25, 9);
});

test('what lies outside of what was compared is named, and nothing else', () => {
  const range = rangeOf(ALL, WHERE);
  const within = { cpu: 'one', cores: 2, release: 'r', cells: 2, slots: 160, qpsPerCore: 20 };
  expect(beyond(range, within)).toEqual([]);
  expect(beyond(range, { ...within, cells: 40, cores: 16, slots: 400_000, qpsPerCore: 30 })).toEqual([
    '16 cores a machine (compared: 2)',
    '40 cells (compared: 1 to 2)',
    '400,000 slots (compared: 160 to 160)',
    '30 pages a second for each core (compared: 8 to 24)',
  ]);
});

test('the range is kept, and a file that holds none is refused by name', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'onepass-range-test-'));
  try {
    const file = join(folder, 'plan', 'validated.json');
    expect(await readRange(file)).toBeUndefined();
    await writeRange(rangeOf(ALL, WHERE), ALL, file);
    expect(await readRange(file)).toMatchObject(rangeOf(ALL, WHERE));
    writeFileSync(file, '{"cells":[1,2]}');
    await expect(readRange(file)).rejects.toThrow(`${file} holds nothing of npm run plan -- --validate`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the drawing is whole markup and stands alone', () => {
  const svg = validationPlot(ALL, 'A point a load; <one>, 2 cores');
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  expect(svg).not.toMatch(/NaN|Infinity|="undefined"|<one>/);
  for (const name of ['g', 'svg', 'text']) {
    expect(svg.match(new RegExp(`<${name}[ >]`, 'g'))?.length).toBe(svg.match(new RegExp(`</${name}>`, 'g'))?.length);
  }
});

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { describeMachine, type Machine } from './machine.js';

/** A number, and where it is known the interval in which it would fall if it were measured again. */
export interface Estimate {
  readonly value: number;
  readonly band?: readonly [low: number, high: number];
}

/** One number as it was seen. */
export interface Figure extends Estimate {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  /** Name of the GPU, where it was measured on one. */
  readonly device?: string;
}

/** By name; the newest of each. */
export type FigureTable = Readonly<Record<string, Figure>>;

/** Of everything measured; only summary.json is kept with the sources. */
export const REPORT_FOLDER = join(repositoryRoot, 'perf', 'report');

const FILE = 'summary.json';

/** Puts numbers in the place of older ones of the same name, whole or not at all. `device`: the GPU that they were measured on. */
export async function mergeIntoSummary(
  folder: string,
  numbers: Readonly<Record<string, number | Estimate>>,
  device?: string,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, FILE);
  const before = await readAll(folder);
  const seen = figures(numbers, describeMachine(), device);
  const after = Object.fromEntries(Object.entries({ ...before, ...seen }).sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeFile(`${path}.new`, `${JSON.stringify(after, null, 2)}\n`);
  await rename(`${path}.new`, path);
}

/** What has been measured. Empty where nothing was yet. */
export async function readSummary(folder: string): Promise<FigureTable> {
  const measured = Object.entries(await readAll(folder)).flatMap(([name, figure]) => (figure ? [[name, figure]] : []));
  return Object.fromEntries(measured);
}

/** Beside what was measured, null for what is to be measured and has not been. */
async function readAll(folder: string): Promise<Readonly<Record<string, Figure | null>>> {
  return JSON.parse(await readFile(join(folder, FILE), 'utf8').catch(() => '{}'));
}

function figures(
  numbers: Readonly<Record<string, number | Estimate>>,
  { cpu, cores, node }: Machine,
  device: string | undefined,
): FigureTable {
  const date = new Date().toISOString().slice(0, 10);
  const estimate = (number: number | Estimate) => (typeof number === 'number' ? { value: number } : number);
  return Object.fromEntries(
    Object.entries(numbers).map(([name, number]) => [
      name,
      { ...estimate(number), date, cpu, cores, node, ...(device && { device }) },
    ]),
  );
}

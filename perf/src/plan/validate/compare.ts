import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import type { Told } from '../sim/replay-trace.js';

/** What was measured for the simulator, and where it was compared with real meshes: kept with the sources. */
const FOLDER = join(repositoryRoot, 'perf', 'plan');
export const SERVICE_TIMES = join(FOLDER, 'service-times.json');
const VALIDATED = join(FOLDER, 'validated.json');

/** One load on one mesh: what was predicted, and what was seen. */
export interface Compared {
  readonly cells: number;
  /** Of all cells. */
  readonly slots: number;
  readonly people: number;
  readonly qps: number;
  readonly predicted: Told;
  readonly measured: Told;
}

export interface Errors {
  /** Of shares of pages. */
  readonly plan_hit_rate_error: number;
  /** Of what was measured. */
  readonly plan_p50_error: number;
  readonly plan_p99_error: number;
}

export const errorsOf = ({ predicted, measured }: Compared): Errors => ({
  plan_hit_rate_error: Math.abs(predicted.held - measured.held),
  plan_p50_error: Math.abs(predicted.p50Ms / measured.p50Ms - 1),
  plan_p99_error: Math.abs(predicted.p99Ms / measured.p99Ms - 1),
});

/** The largest of each over all loads: what is promised holds everywhere. */
export function worstOf(all: readonly Compared[]): Errors {
  const worst = (name: keyof Errors) => Math.max(...all.map((one) => errorsOf(one)[name]));
  return {
    plan_hit_rate_error: worst('plan_hit_rate_error'),
    plan_p50_error: worst('plan_p50_error'),
    plan_p99_error: worst('plan_p99_error'),
  };
}

/** Where predictions were compared with what was seen: beyond it they are extrapolated. */
export interface ValidatedRange {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly release: string;
  readonly cells: readonly [least: number, most: number];
  readonly slots: readonly [least: number, most: number];
  /** Pages a second for each core. */
  readonly qpsPerCore: readonly [least: number, most: number];
  readonly errors: Errors;
}

export function rangeOf(
  all: readonly Compared[],
  where: Pick<ValidatedRange, 'date' | 'cpu' | 'cores' | 'release'>,
): ValidatedRange {
  const span = (of: (one: Compared) => number) => [Math.min(...all.map(of)), Math.max(...all.map(of))] as const;
  return {
    ...where,
    cells: span(({ cells }) => cells),
    slots: span(({ slots }) => slots),
    qpsPerCore: span(({ qps }) => qps / where.cores),
    errors: worstOf(all),
  };
}

/** Whole or not at all. */
export async function writeRange(range: ValidatedRange, all: readonly Compared[], file = VALIDATED): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const compared = all.map(
    (one) =>
      `    ${JSON.stringify(one, (_, value) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value))}`,
  );
  const lines = Object.entries(range).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`);
  await writeFile(`${file}.new`, `{\n${lines.join('\n')}\n  "compared": [\n${compared.join(',\n')}\n  ]\n}\n`);
  await rename(`${file}.new`, file);
}

/** Undefined where nothing was compared yet. @throws OnepassError `startup` naming the file where it is none of `writeRange` */
export async function readRange(file = VALIDATED): Promise<ValidatedRange | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const range = JSON.parse(text) as ValidatedRange;
    for (const name of ['cells', 'slots', 'qpsPerCore'] as const) {
      if (range[name].length !== 2) throw new Error(`its ${name} are no range`);
    }
    return range;
  } catch (error) {
    throw startupError(`${file} holds nothing of npm run plan -- --validate: ${(error as Error).message}`, error);
  }
}

export interface Planned {
  readonly cpu: string;
  readonly cores: number;
  readonly release: string;
  readonly cells: number;
  readonly slots: number;
  readonly qpsPerCore: number;
}

/** What of a plan lies outside of what was compared, in words; empty: nothing. */
export function beyond(range: ValidatedRange, planned: Planned): string[] {
  const outside = (name: keyof Pick<ValidatedRange, 'cells' | 'slots' | 'qpsPerCore'>, unit: string) => {
    const [least, most] = range[name];
    const value = planned[name];
    if (value >= least && value <= most) return [];
    const told = (number: number) => number.toLocaleString('en-US', { maximumFractionDigits: 1 });
    return [`${told(value)} ${unit} (compared: ${told(least)} to ${told(most)})`];
  };
  return [
    ...(planned.cpu === range.cpu ? [] : [`the processor ${planned.cpu} (compared: ${range.cpu})`]),
    ...(planned.cores === range.cores ? [] : [`${planned.cores} cores a machine (compared: ${range.cores})`]),
    ...(planned.release === range.release ? [] : [`release ${planned.release} (compared: ${range.release})`]),
    ...outside('cells', 'cells'),
    ...outside('slots', 'slots'),
    ...outside('qpsPerCore', 'pages a second for each core'),
  ];
}

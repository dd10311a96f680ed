import { resolve } from 'node:path';
import { startupError } from '@onepass/errors';
import { readCommandLine } from '@onepass/local';

/** What the command is to do. */
export type PlanCommand =
  | 'help'
  | { readonly kind: 'plan'; readonly options: PlanOptions }
  | { readonly kind: 'measure'; readonly file: string; readonly options: RealOptions }
  | { readonly kind: 'validate'; readonly options: RealOptions };

/** Of what starts meshes of its own. */
export interface RealOptions {
  readonly releaseDir: string | undefined;
  readonly smoke: boolean;
}

export interface PlanOptions {
  readonly people: number;
  /** Pages a second at the day's peak. */
  readonly qps: number;
  /** Of one cell. */
  readonly cores: number;
  readonly kvGiB: number;
  readonly busiest: number;
  readonly inFlight: number;
  /** Undefined: the release in the repository. */
  readonly releaseDir: string | undefined;
  readonly smoke: boolean;
}

export const HELP = `npm run plan -- --people 30e6 --qps 4000 [options]
       npm run plan -- --measure FILE
       npm run plan -- --validate

How many cells a population needs, with room for a lost one: KV memory, pages that find their person's KV held, CPU, what a lost cell and a
promotion cost, and which of CPU and KV memory binds. Graphs and search are timed on this machine; everything else a page costs is overhead_cpu_ms of
perf/report/summary.json. Who comes back when is assumed (perf/README.md); who is held is decided by the user-encoder's own book of slots. Then the peak,
a lost cell and the first moments of a promotion are simulated, with service times measured before (perf/plan/service-times.json).

  --people N      people who come at all; 30e6 is a number too
  --qps N         pages a second at the day's peak, a quarter above its average
  --cores N       cores of a cell, with its part of gateways and retrieval; default 16
  --kv-gib N      memory of a cell for KV, in GiB; default 32
  --busiest N     share of its cores that a cell may use at the peak with one cell lost; default 0.7
  --in-flight N   graph runs at one time of each user-encoder and ranking; default: half of the cores, at least 2
  --measure FILE  takes pages of a real mesh apart, one at a time, and writes what each thread's part took, and what loads of 12 and 36 pages
                  a second do to that; takes ten minutes, in which the machine must be idle
  --validate      real meshes of one and two cells beside the simulated ones, at other loads: predicted and measured, in perf/report too; takes
                  ten minutes, in which the machine must be idle
  --release DIR   for this release in the place of the one in the repository
  --smoke         a small sample, timed in a moment: shows that it works; its figures are not kept
  --help          this text`;

/** @throws OnepassError `startup` naming the option that is wrong */
export function parsePlanOptions(args: readonly string[]): PlanCommand {
  const values = parse(args);
  if (values.help) return 'help';
  const real = { releaseDir: values.release === undefined ? undefined : resolve(values.release), smoke: values.smoke };
  if (values.measure === undefined && !values.validate) return { kind: 'plan', options: planOptions(values, real) };
  const kind = values.validate ? '--validate' : '--measure';
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== false);
  const other = given.find(([name]) => !ALONE.has(name) && `--${name}` !== kind);
  if (other !== undefined) throw startupError(`--${other[0]} has no meaning beside ${kind}`);
  if (values.measure === undefined) return { kind: 'validate', options: real };
  return { kind: 'measure', file: resolve(values.measure), options: real };
}

/** What may stand beside --measure and --validate. */
const ALONE: ReadonlySet<string> = new Set(['release', 'smoke']);

function planOptions(values: ReturnType<typeof parse>, real: RealOptions): PlanOptions {
  const cores = numberOf('--cores', values.cores ?? '16', { from: 1, to: 1_024 });
  const inFlight = values['in-flight'];
  return {
    people: numberOf('--people', values.people, { from: 1_000, to: 1e10 }),
    qps: numberOf('--qps', values.qps, { from: 0.1, to: 1e7 }),
    cores,
    kvGiB: numberOf('--kv-gib', values['kv-gib'] ?? '32', { from: 0.1, to: 10_000 }),
    busiest: numberOf('--busiest', values.busiest ?? '0.7', { from: 0.05, to: 1 }),
    inFlight:
      inFlight === undefined
        ? Math.max(2, Math.ceil(cores / 2))
        : numberOf('--in-flight', inFlight, { from: 1, to: 64 }),
    ...real,
  };
}

function parse(args: readonly string[]) {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  return readCommandLine({
    args: [...args],
    options: {
      ...{ people: text, qps: text, cores: text, 'kv-gib': text, busiest: text, 'in-flight': text },
      ...{ measure: text, validate: flag, release: text, smoke: flag, help: flag },
    },
  }).values;
}

function numberOf(option: string, raw: string | undefined, { from, to }: { from: number; to: number }): number {
  if (raw === undefined) throw startupError(`${option} is missing; npm run plan -- --help says what it is`);
  const value = /^\d+(\.\d+)?(e\d{1,2})?$/.test(raw) ? Number(raw) : Number.NaN;
  if (value >= from && value <= to) return value;
  throw startupError(`${option} must be a number from ${from} to ${to}, not "${raw}"`);
}

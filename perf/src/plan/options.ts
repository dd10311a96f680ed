import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startupError } from '@onepass/errors';

export interface PlanOptions {
  readonly people: number;
  /** Pages a second at the day's peak. */
  readonly qps: number;
  /** Of one cell. */
  readonly cores: number;
  readonly kvGiB: number;
  readonly busiest: number;
  /** Undefined: the release in the repository. */
  readonly releaseDir: string | undefined;
  readonly smoke: boolean;
}

export const HELP = `npm run plan -- --people 30e6 --qps 4000 [options]

How many cells a population needs, with room for a lost one: KV memory, pages that find their person's KV held, CPU, what a lost cell and a
promotion cost, and which of CPU and KV memory binds. Graphs and search are timed on this machine; everything else a page costs is overhead_cpu_ms of
perf/report/summary.json. Who comes back when is assumed (perf/README.md); who is held is decided by the user-encoder's own pool.

  --people N      people who come at all; 30e6 is a number too
  --qps N         pages a second at the day's peak, a quarter above its average
  --cores N       cores of a cell, with its part of gateways and retrieval; default 16
  --kv-gib N      memory of a cell for KV, in GiB; default 32
  --busiest N     share of its cores that a cell may use at the peak with one cell lost; default 0.7
  --release DIR   for this release in the place of the one in the repository
  --smoke         a small sample, timed in a moment: shows that it works
  --help          this text`;

/** @throws OnepassError `startup` naming the option that is wrong */
export function parsePlanOptions(args: readonly string[]): PlanOptions | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  return {
    people: numberOf('--people', values.people, { from: 1_000, to: 1e10 }),
    qps: numberOf('--qps', values.qps, { from: 0.1, to: 1e7 }),
    cores: numberOf('--cores', values.cores, { from: 1, to: 1_024 }),
    kvGiB: numberOf('--kv-gib', values['kv-gib'], { from: 0.1, to: 10_000 }),
    busiest: numberOf('--busiest', values.busiest, { from: 0.05, to: 1 }),
    releaseDir: values.release === undefined ? undefined : resolve(values.release),
    smoke: values.smoke,
  };
}

function parse(args: readonly string[]) {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  const usual = (value: string) => ({ type: 'string', default: value }) as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        ...{ people: text, qps: text, release: text, smoke: flag, help: flag },
        ...{ cores: usual('16'), 'kv-gib': usual('32'), busiest: usual('0.7') },
      },
    }).values;
  } catch (error) {
    throw startupError((error as Error).message, error);
  }
}

function numberOf(option: string, raw: string | undefined, { from, to }: { from: number; to: number }): number {
  if (raw === undefined) throw startupError(`${option} is missing; npm run plan -- --help says what it is`);
  const value = /^\d+(\.\d+)?(e\d{1,2})?$/.test(raw) ? Number(raw) : Number.NaN;
  if (value >= from && value <= to) return value;
  throw startupError(`${option} must be a number from ${from} to ${to}, not "${raw}"`);
}

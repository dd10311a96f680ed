import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startupError } from '@onepass/errors';

/** What one run of the benchmark does. */
export interface BenchOptions {
  readonly releaseDir: string;
  /** People whose histories fill the window. */
  readonly people: number;
  /** How often everything is measured; figures are medians over rounds. */
  readonly rounds: number;
  /** Length of one load. */
  readonly seconds: number;
  /** Concurrencies among which saturation is sought. */
  readonly concurrencies: readonly number[];
  readonly smoke: boolean;
}

export const HELP = `npm run bench [-- options]

Starts the mesh on free ports, fills histories of 256 actions, and loads it with ghz: latency at one call at a time,
throughput and CPU at saturation, and the same with the graphs and the index alone. Writes perf/report/latest.{json,md}.

  --release DIR   the release to serve (default releases/default)
  --seconds N     length of one load (default 8)
  --rounds N      rounds; figures are their medians (default 3)
  --smoke         seconds in all: shows that it works, measures nothing
  --help          this text`;

const FULL = { people: 64, rounds: 3, seconds: 8, concurrencies: [4, 6, 8, 10, 12, 16] };
const SMOKE = { people: 4, rounds: 1, seconds: 1, concurrencies: [4] };

/** @throws OnepassError `startup` naming the option that is wrong. */
export function parseOptions(args: readonly string[], root: string): BenchOptions | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  const size = values.smoke ? SMOKE : FULL;
  return {
    ...size,
    releaseDir: values.release === undefined ? resolve(root, 'releases/default') : resolve(values.release),
    seconds: wholeNumber('--seconds', values.seconds, size.seconds),
    rounds: wholeNumber('--rounds', values.rounds, size.rounds),
    smoke: values.smoke,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        release: { type: 'string' },
        seconds: { type: 'string' },
        rounds: { type: 'string' },
        smoke: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw startupError((error as Error).message, error);
  }
}

function wholeNumber(option: string, raw: string | undefined, fallback: number): number {
  if (raw === undefined) return fallback;
  if (/^[1-9]\d{0,3}$/.test(raw)) return Number(raw);
  throw startupError(`${option} must be a whole number from 1 to 9999, not "${raw}"`);
}

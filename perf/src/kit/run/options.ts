import { resolve } from 'node:path';
import { startupError } from '@onepass/errors';
import { readCommandLine } from '@onepass/local';
import { SYSTEMS, type SystemName } from '../measurements.js';
import { parseShape, type ReleaseShape } from '../shape/shape.js';

/** How much is measured. */
export type Size = 'smoke' | 'quick' | 'full';

export interface KitOptions {
  readonly size: Size;
  /** Undefined: the release in the repository. */
  readonly releaseDir: string | undefined;
  /** In the place of the shapes that the size has. */
  readonly shape: ReleaseShape | undefined;
  /** Undefined: all that can run here. */
  readonly systems: readonly SystemName[] | undefined;
  /** In the place of what the size has. */
  readonly rounds: number | undefined;
  readonly seconds: number | undefined;
  /** Begin anew, whatever an earlier run left. */
  readonly fresh: boolean;
  /** Print ratios against summary.json and leave it as it is. */
  readonly compare: boolean;
}

export const HELP = `npm run bench [-- options]

Starts the systems that are compared on the same release, sends them the same requests in turns, and writes perf/report: the
findings (measurements.jsonl, which a run that was cut goes on from), index.html to read, and summary.json. perf/README.md
says how it is measured. ghz is installed where there is a Go.

  --quick          the release in the repository, few loads: under five minutes
  --shape TEXT     synthetic weights of this shape, as n=992,k=656,L=12,d=512 (perhaps heads=.. and items=..), nothing else
  --release DIR    serve this release in the place of the one in the repository
  --systems A,B    only these of ${SYSTEMS.join(', ')}
  --rounds N       rounds; figures are medians over them
  --seconds N      length of one load
  --fresh          begin anew, also where an earlier run was cut short
  --compare        measure, print ratios against perf/report/summary.json and leave it as it is; exit code 1 where one is
                   worse than noise explains
  --smoke          seconds in all: shows that it works, measures nothing
  --help           this text`;

/** @throws OnepassError `startup` naming the option that is wrong */
export function parseKitOptions(args: readonly string[]): KitOptions | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  if (values.smoke && values.quick) throw startupError('--smoke and --quick are two sizes; name one');
  if (values.shape !== undefined && values.release !== undefined) {
    throw startupError('--shape makes a release of its own; name it or --release');
  }
  return {
    size: values.smoke ? 'smoke' : values.quick ? 'quick' : 'full',
    releaseDir: values.release === undefined ? undefined : resolve(values.release),
    shape: values.shape === undefined ? undefined : parseShape(values.shape),
    systems: values.systems === undefined ? undefined : systemsOf(values.systems),
    rounds: wholeNumber('--rounds', values.rounds),
    seconds: wholeNumber('--seconds', values.seconds),
    fresh: values.fresh,
    compare: values.compare,
  };
}

function parse(args: readonly string[]) {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  return readCommandLine({
    args: [...args],
    options: {
      ...{ quick: flag, smoke: flag, fresh: flag, compare: flag, help: flag },
      ...{ shape: text, release: text, systems: text, rounds: text, seconds: text },
    },
  }).values;
}

function systemsOf(text: string): readonly SystemName[] {
  const named = text.split(',');
  const unknown = named.find((name) => !SYSTEMS.includes(name as SystemName));
  if (unknown !== undefined) throw startupError(`--systems: "${unknown}" is none of ${SYSTEMS.join(', ')}`);
  return SYSTEMS.filter((name) => named.includes(name));
}

function wholeNumber(option: string, raw: string | undefined): number | undefined {
  if (raw === undefined) return undefined;
  if (/^[1-9]\d{0,3}$/.test(raw)) return Number(raw);
  throw startupError(`${option} must be a whole number from 1 to 9999, not "${raw}"`);
}

import { resolve } from 'node:path';
import { startupError } from '@onepass/errors';
import { readCommandLine } from './command.js';
import { processNames } from './plan.js';

/** What the command line asks for. */
export interface LocalOptions {
  /** First of as many consecutive ports as there are processes; undefined = any free ones. */
  readonly port: number | undefined;
  readonly releaseDir: string;
  /** Each with a user-encoder and a ranking of its own. */
  readonly cells: number;
  /** Whether both roles of a cell are one process, over a device. */
  readonly deviceCell: boolean;
  /** Directory of device graphs of the release, by the option or by ONEPASS_DEVICE_GRAPHS; undefined = made for it where there is Python. */
  readonly deviceGraphs: string | undefined;
  /** Directory of durable state; undefined = a temporary one, removed at the end. */
  readonly dataDir: string | undefined;
  readonly demo: boolean;
  /** Ends after the demo. */
  readonly smoke: boolean;
}

export const DEFAULT_PORT = 50050;
const HIGHEST_PORT = 65_535;
/** More are no use on one machine. */
const MOST_CELLS = 16;

export const HELP = `npm start [-- options]

Starts gateway, user-encoder, retrieval and ranking, shows what they do, and stays up until Ctrl-C.

  --port N        first of four consecutive ports (default ${DEFAULT_PORT}: gateway ${DEFAULT_PORT}, then user-encoder, retrieval, ranking); of two more
                  for each further cell
  --cells N       cells, each a user-encoder and a ranking that share KV; a person's pages go to one of them (default 1). The gateway
                  watches the file "cells" in the data directory: edit it to drain a cell or to take it back
  --device-cell   user-encoder and ranking in one process, over one trunk whose KV stays on a device: the one that
                  ONEPASS_EXECUTION_PROVIDER names, a GPU or the CPU. The device graphs that this takes are made at the first start,
                  in float16 for a GPU, by Python >= 3.11: where training/.venv is not there yet it is installed
                  first, which takes minutes and 6 GB of disk
  --device-graphs DIR  take these device graphs of the release (docs/device-graphs.md); implies --device-cell.
                  Absent: those of ONEPASS_DEVICE_GRAPHS, where that is set
  --release DIR   the release to serve (default releases/default)
  --data DIR      where histories and logs are kept (default .onepass/data)
  --ephemeral     keep nothing: a temporary data directory, removed at the end
  --no-demo       do not show pages at start
  --smoke         free ports, nothing kept, ends after the demo
  --help          this text

Settings of the services (ONEPASS_LOG_LEVEL, ONEPASS_INFERENCE_IN_FLIGHT, ...) are passed on from the environment.`;

/**
 * @param root the repository's directory, where the defaults lie; given paths are relative to the working directory.
 * @param env for what an option and a setting of the services both say
 * @throws OnepassError `startup` naming the option that is wrong.
 */
export function parseOptions(
  args: readonly string[],
  root: string,
  env: Readonly<Record<string, string | undefined>> = {},
): LocalOptions | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  if (values.data !== undefined && (values.ephemeral || values.smoke)) {
    throw startupError(`--data and --${values.smoke ? 'smoke' : 'ephemeral'} exclude each other`);
  }
  const cells = numberFrom1('--cells', values.cells ?? '1', MOST_CELLS);
  const deviceCell = values['device-cell'] || values['device-graphs'] !== undefined;
  const deviceGraphs = values['device-graphs'] ?? (deviceCell ? env.ONEPASS_DEVICE_GRAPHS || undefined : undefined);
  if (deviceGraphs?.trim() === '') throw startupError('--device-graphs must name a directory of device graphs');
  const keepsNothing = values.ephemeral || values.smoke;
  return {
    port: values.port === undefined && values.smoke ? undefined : parsePort(values.port, cells),
    releaseDir: values.release === undefined ? resolve(root, 'releases/default') : resolve(values.release),
    cells,
    deviceCell,
    deviceGraphs: deviceGraphs === undefined ? undefined : resolve(deviceGraphs),
    dataDir: keepsNothing ? undefined : resolve(values.data ?? resolve(root, '.onepass/data')),
    demo: !values['no-demo'],
    smoke: values.smoke,
  };
}

function parse(args: readonly string[]) {
  return readCommandLine({
    args: [...args],
    options: {
      port: { type: 'string' },
      release: { type: 'string' },
      cells: { type: 'string' },
      'device-cell': { type: 'boolean', default: false },
      'device-graphs': { type: 'string' },
      data: { type: 'string' },
      ephemeral: { type: 'boolean', default: false },
      'no-demo': { type: 'boolean', default: false },
      smoke: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  }).values;
}

const parsePort = (given: string | undefined, cells: number) =>
  numberFrom1('--port', given ?? String(DEFAULT_PORT), HIGHEST_PORT - processNames({ cells }).length + 1);

function numberFrom1(option: string, given: string, highest: number): number {
  const number = Number(given);
  if (Number.isInteger(number) && number >= 1 && number <= highest && given.trim() !== '') return number;
  throw startupError(`${option} must be a whole number from 1 to ${highest}, not "${given}"`);
}

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readSettings } from '@onepass/config';
import { startupError } from '@onepass/errors';
import { historySettings, type StorePlace } from '@onepass/history';
import { readCommandLine } from '@onepass/local';
import { type CellLine, parseCellFile, parseCells } from '@onepass/routing';

/** What the command line asks for. */
export interface PrewarmOptions {
  /** All cells that the gateways send people to. */
  readonly cells: readonly CellLine[];
  /** Name of the one to be warmed; undefined = all. */
  readonly cell: string | undefined;
  readonly releaseDir: string;
  readonly place: StorePlace;
  /** Of LMDB. */
  readonly dataDir: string;
  readonly activeWithinMs: number;
  /** Encodes a second at each cell. */
  readonly rate: number;
  /** Encodes under way at each cell. */
  readonly inFlight: number;
  /** People of a cell; undefined = as many as its KV holds. */
  readonly most: number | undefined;
  readonly dryRun: boolean;
}

export type PrewarmCommand =
  | { readonly kind: 'help' }
  | { readonly kind: 'smoke'; readonly releaseDir: string }
  | ({ readonly kind: 'prewarm' } & PrewarmOptions);

export const HELP = `npm run prewarm -- --cells "encoder=HOST:PORT,ranking=HOST:PORT;..." [options]

Encodes the people who were active lately at the cells they belong to, before a new cell or a new release takes traffic, at a bounded rate and behind
everything that somebody waits for. A few people are encoded first and timed, and what the whole takes is printed before it starts. May be
repeated: who is held already costs next to nothing. Ends with exit code 1 when anybody was not reached.

  --cells CELLS         all cells that people are shared over, as the gateways' ONEPASS_CELLS has them (default: that variable); name the one
                        that is to join too
  --cells-file FILE     instead of them: a file of cells, one a line, as ONEPASS_CELLS_FILE (default: that variable, else the file "cells" that
                        npm start leaves in the data directory)
  --cell NAME           only the people of this cell, by its name in CELLS or, where it has none, HOST:PORT of its encoder (default: all)
  --release DIR         the release that the cells serve (default releases/default)
  --data DIR            data directory of a mesh on this machine (default ONEPASS_DATA_DIR, else .onepass/data)
  --active-within TIME  who acted since then, such as 7d, 12h or 30m (default 7d)
  --rate N              encodes a second at each cell, at most (default 50)
  --in-flight N         encodes under way at each cell, at most (default 1)
  --most N              people of each cell, those active last (default, and at most: as many as its KV holds)
  --dry-run             ends when the cost is printed; the people it was found out with are warm then
  --smoke               a mesh of its own with a few people: shows that it works; --release says of what
  --help                this text

ONEPASS_HISTORY, with which the cells were started, says where histories lie; ONEPASS_TLS_CERT, _KEY, _CA and _SERVER_NAME how cells are called.`;

const DAY_MS = 86_400_000;
const UNITS_MS: Readonly<Record<string, number>> = { d: DAY_MS, h: 3_600_000, m: 60_000 };

/**
 * @param root the repository's directory, where the defaults lie; given paths are relative to the working directory
 * @throws OnepassError `startup` naming the option or variable that is wrong
 */
export function parseOptions(
  args: readonly string[],
  root: string,
  env: Readonly<Record<string, string | undefined>>,
): PrewarmCommand {
  const values = parse(args);
  if (values.help) return { kind: 'help' };
  const { smoke, release, most, ...given } = values;
  const releaseDir = release === undefined ? resolve(root, 'releases/default') : resolve(release);
  if (smoke) return { kind: 'smoke', releaseDir };
  const dataDir = resolve(given.data ?? (env.ONEPASS_DATA_DIR || resolve(root, '.onepass/data')));
  const cells = takingPeople(cellsOf(given.cells, given['cells-file'], { env, dataDir }));
  const names = cells.map(({ name }) => name);
  if (given.cell !== undefined && !names.includes(given.cell)) {
    throw startupError(`--cell ${given.cell} is none that takes people in --cells, which has ${names.join(', ')}`);
  }
  const { history: place } = readSettings({ history: historySettings.history }, env);
  if (place !== 'lmdb' && given.data !== undefined) {
    throw startupError('--data does not go with ONEPASS_HISTORY, which names a Redis');
  }
  return {
    kind: 'prewarm',
    cells,
    cell: given.cell,
    releaseDir,
    place,
    dataDir,
    activeWithinMs: timeOf(given['active-within']),
    rate: numberOf('--rate', given.rate, { from: 0.1, to: 100_000 }),
    inFlight: wholeOf('--in-flight', given['in-flight'], 64),
    most: most === undefined ? undefined : wholeOf('--most', most, 100_000_000),
    dryRun: given['dry-run'],
  };
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const usual = (value: string) => ({ type: 'string', default: value }) as const;
  return readCommandLine({
    args: [...args],
    options: {
      ...{ cells: text, 'cells-file': text, cell: text, release: text, data: text, most: text },
      ...{ 'active-within': usual('7d'), rate: usual('50'), 'in-flight': usual('1') },
      ...{ 'dry-run': flag, smoke: flag, help: flag },
    },
  }).values;
}

/** An option before the variables, these before what the data directory has; of both the file before the line, as for the gateways. */
function cellsOf(
  line: string | undefined,
  file: string | undefined,
  { env, dataDir }: { readonly env: Readonly<Record<string, string | undefined>>; readonly dataDir: string },
): readonly CellLine[] {
  const given = line ?? file;
  if (line !== undefined && file !== undefined) throw startupError('--cells and --cells-file exclude each other');
  const raw = given === undefined && !env.ONEPASS_CELLS_FILE ? env.ONEPASS_CELLS : line;
  if (raw) return parsedCells('--cells', () => parseCells(raw));
  const own = join(dataDir, 'cells');
  const path = file || env.ONEPASS_CELLS_FILE || (existsSync(own) ? own : undefined);
  if (path) return parsedCells(`--cells-file ${path}`, () => parseCellFile(readFileSync(path, 'utf8')));
  throw startupError('--cells CELLS says which cells there are, as ONEPASS_CELLS');
}

function parsedCells(option: string, parse: () => readonly CellLine[]): readonly CellLine[] {
  try {
    return parse();
  } catch (error) {
    throw startupError(`${option}: ${(error as Error).message}`);
  }
}

/** Those that people are sent to. */
function takingPeople(cells: readonly CellLine[]): readonly CellLine[] {
  const taking = cells.filter(({ state }) => state === 'serving');
  if (taking.length === 0) throw startupError('--cells has no cell that takes people: all are draining');
  if (taking.some(({ rankingEncoder }) => rankingEncoder !== undefined)) {
    throw startupError('--cells has a ranking-encoder, whose KV is not warmed: such cells are for comparisons');
  }
  return taking;
}

function timeOf(raw: string): number {
  const [, count, unit = ''] = /^(\d{1,6})([dhm])$/.exec(raw) ?? [];
  const ms = Number(count) * (UNITS_MS[unit] ?? Number.NaN);
  if (ms > 0) return ms;
  throw startupError(`--active-within must be a time such as 7d, 12h or 30m, not "${raw}"`);
}

function wholeOf(option: string, raw: string, to: number): number {
  return numberOf(option, raw, { from: 1, to, what: 'a whole number', shape: /^\d+$/ });
}

function numberOf(
  option: string,
  raw: string,
  { from, to, what = 'a number', shape = /^\d+(\.\d+)?$/ }: { from: number; to: number; what?: string; shape?: RegExp },
): number {
  const value = shape.test(raw) ? Number(raw) : Number.NaN;
  if (value >= from && value <= to) return value;
  throw startupError(`${option} must be ${what} from ${from} to ${to}, not "${raw}"`);
}

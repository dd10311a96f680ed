import { resolve } from 'node:path';
import { startupError } from '@onepass/errors';
import { parseStorePlace, type StorePlace } from '@onepass/history';
import { readCommandLine } from '@onepass/local';

/** What the command line asks for. */
export type ExportCommand =
  | {
      readonly kind: 'export';
      readonly place: StorePlace;
      /** Of LMDB. */
      readonly dataDir: string;
      readonly out: string;
      readonly sinceMs: number | undefined;
    }
  | { readonly kind: 'replay'; readonly directory: string; readonly releaseDir: string }
  | { readonly kind: 'compact'; readonly place: StorePlace; readonly dataDir: string }
  | { readonly kind: 'help' };

export const HELP = `npm run export -- options

Writes served slates, what became of them, and the histories they were made from as Parquet (docs/data.md), while the mesh runs.

  --data DIR        data directory of a mesh on this machine (default .onepass/data)
  --history URL     instead of it: the Redis that holds histories and slates, as ONEPASS_HISTORY has it
  --out DIR         where the export goes; an export that is there is replaced
  --since TIME      only slates served since then, such as 2026-11-21 or 2026-11-21T10:00:00Z; histories are whole all the same

npm run export -- --replay DIR [--release DIR]

Serves the exported histories to a mesh of its own and compares the scores of every slate's items, as of its time, with those recorded.
Ends with exit code 1 when any differs by more than 1e-4.

  --release DIR     the release to serve (default releases/default)

npm run export -- --compact (--data DIR | --history URL)

Rewrites the stores without what was deleted from them: persons who were forgotten leave nothing behind. The mesh of --data must not run.

  --help            this text`;

/**
 * @param root the repository's directory, where the defaults lie; given paths are relative to the working directory
 * @throws OnepassError `startup` naming the option that is wrong
 */
export function parseOptions(args: readonly string[], root: string): ExportCommand {
  const values = parse(args);
  if (values.help) return { kind: 'help' };
  const { replay, compact, out, release, since } = values;
  if (replay !== undefined) {
    refuse('--replay', { '--data': values.data, '--history': values.history, '--out': out, '--since': since });
    if (compact) throw startupError('--compact does not go with --replay');
    const releaseDir = release === undefined ? resolve(root, 'releases/default') : resolve(release);
    return { kind: 'replay', directory: resolve(replay), releaseDir };
  }
  refuse(compact ? '--compact' : 'an export', { '--release': release });
  if (values.data !== undefined && values.history !== undefined) {
    throw startupError('--data and --history exclude each other');
  }
  const stores = { place: placeOf(values.history), dataDir: resolve(values.data ?? resolve(root, '.onepass/data')) };
  if (compact) {
    refuse('--compact', { '--out': out, '--since': since });
    return { kind: 'compact', ...stores };
  }
  if (out === undefined) throw startupError('--out DIR says where the export goes');
  return { kind: 'export', ...stores, out: resolve(out), sinceMs: since === undefined ? undefined : timeOf(since) };
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  return readCommandLine({
    args: [...args],
    options: {
      data: text,
      history: text,
      out: text,
      since: text,
      replay: text,
      release: text,
      compact: flag,
      help: flag,
    },
  }).values;
}

function refuse(beside: string, options: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) throw startupError(`${name} does not go with ${beside}`);
  }
}

function placeOf(url: string | undefined): StorePlace {
  if (url === undefined) return 'lmdb';
  try {
    return parseStorePlace(url);
  } catch (error) {
    // Its message holds nothing of the URL, which may hold a password.
    throw startupError(`--history ${(error as Error).message}`);
  }
}

function timeOf(since: string): number {
  const time = /^\d{4}-\d{2}-\d{2}/.test(since) ? Date.parse(since) : Number.NaN;
  if (Number.isNaN(time)) throw startupError(`--since must be a time such as 2026-11-21T10:00:00Z, not "${since}"`);
  return time;
}

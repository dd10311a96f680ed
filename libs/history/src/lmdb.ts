import { closeSync, existsSync, mkdirSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { type Database, open, type RootDatabase } from 'lmdb';
import { storeFailure } from './failure.js';

export interface LmdbOptions {
  /** Address space for the data file, in bytes; the file itself grows as it is written, and lmdb-js maps it anew when it outgrows this. */
  readonly mapBytes: number;
  /** Readers at one time over all processes: one a process. */
  readonly maxReaders: number;
}

export const LMDB_DEFAULTS: LmdbOptions = { mapBytes: 64 * 2 ** 30, maxReaders: 126 };

const LMDB_MAGIC = 0xbeefc0de;

export type Records = Database<Buffer, Buffer>;

/**
 * An LMDB environment in `directory`, which is made when missing. Any number of processes may have it open.
 * @param what is kept there, for the error's sentence
 * @throws OnepassError `startup` naming the directory when it cannot be made or opened.
 */
export function openLmdb(what: string, directory: string, options: Partial<LmdbOptions> = {}): Lmdb {
  const settings = { ...LMDB_DEFAULTS, ...options };
  try {
    mkdirSync(directory, { recursive: true });
    checkDataFile(join(directory, 'data.mdb'));
    const database = open<Buffer, Buffer>({
      path: directory,
      noSubdir: false,
      keyEncoding: 'binary',
      encoding: 'binary',
      mapSize: settings.mapBytes,
      maxReaders: settings.maxReaders,
      // By default lmdb-js answers a write when it is visible and syncs afterwards; here the sync is part of the commit,
      // so that what is acknowledged, or seen by a reader, is durable.
      overlappingSync: false,
      // With it, a commit that fails, of a full disk for one, rejects a promise that nobody can get hold of, and the process ends of that. Writes
      // of one turn share a commit without it too.
      eventTurnBatching: false,
    });
    return new Lmdb(what, database);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw startupError(`${what} in ${directory} cannot be opened: ${reason}`, error);
  }
}

/** lmdb-js dies by a signal when it opens a file that is not LMDB's. */
function checkDataFile(path: string): void {
  if (!existsSync(path)) return;
  const start = Buffer.alloc(28);
  const file = openSync(path, 'r');
  const bytes = readSync(file, start);
  closeSync(file);
  if (bytes > 0 && start.readUInt32LE(24) !== LMDB_MAGIC) throw new Error('data.mdb is not an LMDB data file');
}

/** Reads and transactions of one environment; what they throw comes out as an OnepassError. */
export class Lmdb {
  readonly #what: string;
  readonly #database: RootDatabase<Buffer, Buffer>;

  constructor(what: string, database: RootDatabase<Buffer, Buffer>) {
    this.#what = what;
    this.#database = database;
  }

  /** One consistent read of the newest commit: lmdb-js would else reuse a snapshot taken earlier in this turn. */
  read<T>(read: (records: Records) => T): T {
    try {
      this.#database.resetReadTxn();
      return read(this.#database);
    } catch (error) {
      throw storeFailure(this.#what, 'read', error);
    }
  }

  /** Resolves when durable. `write` reads its own writes and must not wait for anything. */
  async write<T>(write: (records: Records) => T): Promise<T> {
    try {
      // A child transaction is undone as a whole when it throws; writes of the same event turn share one commit and sync.
      return await this.#database.childTransaction(() => write(this.#database));
    } catch (error) {
      // What lmdb-js says of a commit that failed is itself a promise that rejects.
      const reason = await (error as { commitError?: Promise<never> }).commitError?.catch((thrown) => thrown);
      throw storeFailure(this.#what, 'written', reason ?? error);
    }
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

/** Removes all records from `start` up to `end`, inside a write transaction. */
export function removeRange(records: Records, start: Buffer, end: Buffer): void {
  for (const key of [...records.getKeys({ start, end })]) records.remove(key);
}

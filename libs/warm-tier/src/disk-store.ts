import { createHash } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { startupError, unavailable } from '@onepass/errors';
import type { StoreLimits, WarmStore } from './store.js';

export interface DiskStoreOptions extends StoreLimits {
  /** Its own; cells of one host may share it. */
  readonly directory: string;
  readonly releaseId: string;
  /** Epoch ms. */
  readonly now?: () => number;
  /** Puts bytes into a new file; for tests of what a disk may do. */
  readonly putFile?: (path: string, bytes: Buffer) => Promise<void>;
}

/** Other processes write to the directory too, and entries age while nobody writes. */
const SWEEP_MS = 60_000;
const ENTRY_NAME = /^[0-9a-f]{32}\.[0-9a-f]{16}\.kv$/;
const UNFINISHED_NAME = /^[0-9a-f]{32}\.[0-9a-f]{16}\.(\d+)\.\d+\.tmp$/;
const FOLDER_NAME = /^[0-9a-f]{2}$/;
const NO_ROOM: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/**
 * One file a person and release: `DIRECTORY/ab/PERSON.RELEASE.kv`, ab the person's first two digits, RELEASE a hash of its id.
 * @throws OnepassError `startup` naming a directory that cannot be used
 */
export async function openDiskStore(options: DiskStoreOptions): Promise<WarmStore> {
  const store = new DiskStore(options);
  try {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    await store.sweep();
  } catch (error) {
    throw startupError(`ONEPASS_WARM_DIR: ${options.directory} cannot be used: ${(error as Error).message}`, error);
  }
  return store;
}

interface Known {
  readonly bytes: number;
  /** Epoch ms, never later than now: what seems to come from the future was written before the clock was set back. */
  writtenMs: number;
}

class DiskStore implements WarmStore {
  readonly restMs = 0;
  readonly #options: DiskStoreOptions;
  readonly #now: () => number;
  readonly #release: string;
  /** Path in the directory; written first is first. */
  #known = new Map<string, Known>();
  #bytes = 0;
  #unfinished = 0;
  /** Changes take turns: what is known stays what is there. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #sweeping: NodeJS.Timeout;

  constructor(options: DiskStoreOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#release = createHash('sha256').update(options.releaseId).digest('hex').slice(0, 16);
    // What cannot be listed now is listed the next time; writing says what is wrong.
    this.#sweeping = setInterval(() => this.sweep().catch(() => {}), SWEEP_MS).unref();
  }

  usage(): { entries: number; bytes: number } {
    return { entries: this.#known.size, bytes: this.#bytes };
  }

  async read(person: string): Promise<Buffer | undefined> {
    try {
      return await readWhole(this.#path(this.#name(person)), this.#options.maxEntryBytes + 1);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw unavailable('the warm tier cannot be read', error);
    }
  }

  write(person: string, entry: Buffer): Promise<'written' | 'full'> {
    return this.#inTurn(async () => {
      const name = this.#name(person);
      if (entry.length > this.#options.maxBytes) return 'full';
      await this.#makeRoom(entry.length - (this.#known.get(name)?.bytes ?? 0), name);
      const path = this.#path(name);
      const unfinished = path.replace(/kv$/, `${process.pid}.${this.#unfinished++}.tmp`);
      try {
        await mkdir(dirname(path), { mode: 0o700 }).catch(unless('EEXIST'));
        await (this.#options.putFile ?? putFile)(unfinished, entry);
        await rename(unfinished, path);
      } catch (error) {
        await rm(unfinished, { force: true }).catch(() => {});
        if (NO_ROOM.includes(codeOf(error))) return 'full';
        throw error;
      }
      this.#forgetName(name);
      this.#remember(name, { bytes: entry.length, writtenMs: this.#now() });
      return 'written';
    });
  }

  drop(person: string): Promise<void> {
    return this.#inTurn(() => this.#remove(this.#name(person)));
  }

  forget(person: string): Promise<void> {
    return this.#inTurn(async () => {
      const folder = folderOf(person);
      const files = (await listed(this.#path(folder))).filter((file) => file.startsWith(`${person}.`));
      for (const file of files) await this.#remove(join(folder, file));
      if (files.length === 0) return;
      // A loss of power must not bring them back.
      const handle = await open(this.#path(folder), 'r');
      await handle.sync().finally(() => handle.close());
    });
  }

  /** Learns what others wrote and removed, removes what a dead process left unfinished, and what is too old or too much. */
  sweep(): Promise<void> {
    return this.#inTurn(async () => {
      const found: [string, Known][] = [];
      for (const folder of (await listed(this.#options.directory)).filter((name) => FOLDER_NAME.test(name))) {
        for (const file of await listed(this.#path(folder))) {
          const name = join(folder, file);
          const pid = UNFINISHED_NAME.exec(file)?.[1];
          if (pid !== undefined && isDead(Number(pid))) await rm(this.#path(name), { force: true });
          const known = ENTRY_NAME.test(file) ? await this.#knownOrSeen(name) : undefined;
          if (known !== undefined) found.push([name, known]);
        }
      }
      found.sort(([, a], [, b]) => a.writtenMs - b.writtenMs);
      this.#known = new Map(found);
      this.#bytes = found.reduce((sum, [, { bytes }]) => sum + bytes, 0);
      await this.#makeRoom(0);
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await this.#inTurn(async () => {});
  }

  async #knownOrSeen(name: string): Promise<Known | undefined> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const seen = await stat(this.#path(name)).catch(unless('ENOENT'));
    return seen && { bytes: seen.size, writtenMs: Math.min(seen.mtimeMs, this.#now()) };
  }

  /** Removes what is too old, then what was written first, until so many bytes more fit; `spared` is about to be replaced. */
  async #makeRoom(bytes: number, spared?: string): Promise<void> {
    const { maxBytes, maxAgeMs } = this.#options;
    const now = this.#now();
    for (const [name, known] of this.#known) {
      known.writtenMs = Math.min(known.writtenMs, now);
      if (name === spared) continue;
      if (this.#bytes + bytes > maxBytes || now - known.writtenMs > maxAgeMs) await this.#remove(name);
    }
  }

  async #remove(name: string): Promise<void> {
    await rm(this.#path(name), { force: true });
    this.#forgetName(name);
  }

  #remember(name: string, known: Known): void {
    this.#known.set(name, known);
    this.#bytes += known.bytes;
  }

  #forgetName(name: string): void {
    this.#bytes -= this.#known.get(name)?.bytes ?? 0;
    this.#known.delete(name);
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(change).catch((error: unknown) => {
      throw unavailable('the warm tier cannot be written', error);
    });
    this.#turn = mine.catch(() => {});
    return mine;
  }

  #name(person: string): string {
    return join(folderOf(person), `${person}.${this.#release}.kv`);
  }

  #path(name: string): string {
    return join(this.#options.directory, name);
  }
}

function folderOf(person: string): string {
  return person.slice(0, 2);
}

/** @param mostBytes of a longer file only so many are read: it is not an entry */
async function readWhole(path: string, mostBytes: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.allocUnsafeSlow(Math.min((await file.stat()).size, mostBytes));
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}

function putFile(path: string, bytes: Buffer): Promise<void> {
  return writeFile(path, bytes, { mode: 0o600 });
}

function listed(path: string): Promise<string[]> {
  return readdir(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
}

/** A number that is this process's own was another's before: it has nothing unfinished when it lists. */
function isDead(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
}

function unless(code: string): (error: unknown) => undefined {
  return (error) => {
    if (codeOf(error) !== code) throw error;
    return undefined;
  };
}

function codeOf(error: unknown): unknown {
  return (error as NodeJS.ErrnoException).code;
}

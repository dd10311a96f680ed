import { existsSync } from 'node:fs';
import { open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { openLmdb } from './lmdb.js';
import { redisTerms, type StoreSettings } from './open-stores.js';
import { openRedis } from './redis.js';

/** Records that one transaction copies. */
const CHUNK = 2_000;

/**
 * Rewrites the stores without what was deleted from them. LMDB and Redis both leave deleted bytes in their files until they happen to be
 * overwritten; afterwards a person who was forgotten is in none of them.
 * @param tell what came of each store
 * @throws OnepassError `startup` naming the store; of LMDB also while another process has it open
 */
export async function compactStores(
  settings: StoreSettings,
  tell: (store: string, outcome: string) => void,
): Promise<void> {
  const { history: place, dataDir } = settings;
  if (place === 'lmdb') {
    for (const store of ['history', 'slates']) {
      const directory = join(dataDir, store);
      if (existsSync(join(directory, 'data.mdb'))) tell(store, await compactLmdb(directory));
    }
    return;
  }
  const records = await openRedis('history store', place, redisTerms(settings));
  try {
    await records.rewriteFiles();
    tell('redis', 'append-only file rewritten');
  } finally {
    await records.close();
  }
}

/**
 * Copies record by record into a new file: a copy of LMDB's own pages would take along what lies unused in them, keys of deleted records
 * among the branches too. A crash leaves the old file or the new one.
 */
async function compactLmdb(directory: string): Promise<string> {
  const file = join(directory, 'data.mdb');
  await requireClosed(file);
  const draft = `${directory}.compacting`;
  await rm(draft, { recursive: true, force: true });
  const [from, to] = [openLmdb('store', directory), openLmdb('store', draft)];
  let copied = 0;
  try {
    for (let start: Buffer = Buffer.of(0); ; ) {
      const some = from.read((records) => [...records.getRange({ start, limit: CHUNK })]);
      await to.write((records) => {
        for (const { key, value } of some) records.put(key, value);
      });
      copied += some.length;
      const last = some.at(-1);
      if (last === undefined) break;
      start = Buffer.concat([last.key, Buffer.of(0)]);
    }
  } finally {
    await Promise.all([from.close(), to.close()]);
  }
  const [before, after] = [await stat(file), await stat(join(draft, 'data.mdb'))];
  await rename(join(draft, 'data.mdb'), file);
  // Its table of readers is of the old file.
  await rm(join(directory, 'lock.mdb'), { force: true });
  await sync(directory);
  await rm(draft, { recursive: true });
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  return `${copied} records, ${megabytes(before.size)} -> ${megabytes(after.size)} MB`;
}

/** The rename would take the file from under whoever has it mapped: what they write afterwards would be lost. */
async function requireClosed(file: string): Promise<void> {
  const path = await realpath(file);
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // Gone meanwhile, or another user's.
    const maps = await readFile(`/proc/${pid}/maps`, 'utf8').catch(() => '');
    if (maps.includes(`${path}\n`)) throw startupError(`${path} is in use by process ${pid}: stop the mesh first`);
  }
}

async function sync(directory: string): Promise<void> {
  const handle = await open(directory);
  await handle.sync();
  await handle.close();
}

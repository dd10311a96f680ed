import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { parseKey } from './settings.js';

/**
 * The key kept in `<dataDir>/page-token.key` as hex, made on first use, readable by its owner only. Two gateways that start
 * at once get the same one: the file appears whole or not at all.
 * @throws OnepassError `startup` naming the file.
 */
export async function keptPageTokenKey(dataDir: string): Promise<Uint8Array> {
  const file = join(dataDir, 'page-token.key');
  try {
    await mkdir(dataDir, { recursive: true });
    const hex = await readFile(file, 'utf8').catch(() => makeKey(file));
    const key = parseKey(hex.trim());
    if (key === undefined) throw new Error('is empty');
    return key;
  } catch (error) {
    throw startupError(`ONEPASS_DATA_DIR: page token key ${file}: ${(error as Error).message}`, error);
  }
}

async function makeKey(file: string): Promise<string> {
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  try {
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft);
  }
  return readFile(file, 'utf8');
}

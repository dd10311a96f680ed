import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { startupError } from '@onepass/errors';
import { fileTrouble } from './out-folder.js';

/** Puts a file in the place of an older one, whole or not at all. @throws OnepassError `startup` naming the file; the older one stays */
export async function writeWhole(path: string, content: string): Promise<void> {
  const made = `${path}.new`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(made, content);
    await rename(made, path);
  } catch (error) {
    await rm(made, { force: true }).catch(() => {});
    throw startupError(`"${path}" cannot be written, what was kept before stays: ${fileTrouble(error)}`, error);
  }
}

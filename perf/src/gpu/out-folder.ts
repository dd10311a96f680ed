import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { startupError } from '@onepass/errors';

/**
 * Makes a folder and shows that a file can be written there, so that nobody measures for minutes what cannot be kept.
 * @param name what the user calls it: an option or a setting
 * @throws OnepassError `startup` that begins with `name`
 */
export async function makeOutFolder(folder: string, name: string): Promise<void> {
  const trial = join(folder, `.trial-${process.pid}`);
  try {
    await makeFolder(folder);
    await writeFile(trial, 'x');
  } catch (error) {
    throw startupError(`${name} "${folder}" is no folder that files can be written to: ${fileTrouble(error)}`, error);
  } finally {
    await rm(trial, { force: true }).catch(() => {});
  }
}

/** Folder by folder: Node's own `recursive` never ends where a file system makes no folders but says that the parent is missing, as /proc does. */
async function makeFolder(folder: string): Promise<void> {
  if (await isThere(folder)) return;
  await makeFolder(dirname(folder));
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' && dirname(path) !== path) return false;
      throw error;
    },
  );

/** What the system said, without call and path. */
export const fileTrouble = (error: unknown): string => (error as Error).message.replace(/, \w+( '.*)?$/s, '');

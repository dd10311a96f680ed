import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DRAFT_MANIFEST, MANIFEST } from '@onepass/release';
import { SMOKE_RELEASE } from './smoke-release.js';

/** Writes the smoke release to `directory` as training left it: without index, checksums and id. Answers the directory. */
export async function smokeDraft(directory: string): Promise<string> {
  await cp(SMOKE_RELEASE, directory, { recursive: true });
  const manifest = JSON.parse(await readFile(join(directory, MANIFEST), 'utf8'));
  for (const section of ['id', 'index', 'files']) delete manifest[section];
  await writeFile(join(directory, DRAFT_MANIFEST), JSON.stringify(manifest));
  await rm(join(directory, MANIFEST));
  await rm(join(directory, 'index'), { recursive: true });
  return directory;
}

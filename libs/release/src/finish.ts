import { open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checksum } from './files.js';
import { releaseId } from './identity.js';
import { DRAFT_MANIFEST, type IndexSection, MANIFEST, type ManifestFile, parseManifest } from './manifest.js';
import type { ReleaseDraft } from './release.js';

/**
 * Turns a draft whose index files are written into a release: lists every file with its checksum, adds the index section and the
 * id, puts the manifest in place in one step and only then removes the draft. Done again after a crash it ends the same.
 * @returns the id
 * @throws OnepassError `startup` when the result would not load
 */
export async function finishRelease(draft: ReleaseDraft, index: IndexSection): Promise<string> {
  const { directory, raw } = draft;
  const files: ManifestFile[] = [];
  for (const path of await listFiles(directory)) files.push(await checksum(directory, path));
  const content = { ...raw, index };
  const { format, ...rest } = content as Record<string, unknown>;
  const manifest = { format, id: releaseId(content, files), ...rest, files };
  parseManifest(manifest, `release ${directory}: ${MANIFEST}`);
  await writeWhole(join(directory, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
  await rm(join(directory, DRAFT_MANIFEST), { force: true });
  return manifest.id;
}

/** Everything in the release but the manifests and hidden files, which is what half-written ones are. */
async function listFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(directory, '/').length))
    .filter((path) => path !== MANIFEST && path !== DRAFT_MANIFEST && !/(^|\/)\./.test(path))
    .sort();
}

/** Writes beside the target under a hidden name, then renames: readers see the old file or the whole new one. */
export async function writeWhole(target: string, content: string | Uint8Array): Promise<void> {
  const slash = target.lastIndexOf('/') + 1;
  const hidden = `${target.slice(0, slash)}.${target.slice(slash)}.writing`;
  const handle = await open(hidden, 'w');
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(hidden, target);
}

import { createHash } from 'node:crypto';
import type { ManifestFile } from './manifest.js';

/**
 * A release's id: `r-` and the first 12 hex digits of the SHA-256 over the sorted `path sha256` lines and everything else the manifest
 * says, as JSON with sorted keys. Left out: the id itself, and `created`, so that the same training twice gives one id.
 */
export function releaseId(manifest: Readonly<Record<string, unknown>>, files: readonly ManifestFile[]): string {
  const { id: _id, created: _created, files: _files, ...content } = manifest;
  const lines = files.map((f) => `${f.path} ${f.sha256}`).sort();
  const hash = createHash('sha256').update(`${lines.join('\n')}\n${canonicalJson(content)}\n`);
  return `r-${hash.digest('hex').slice(0, 12)}`;
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { MANIFEST_FILE, SCHEMA_VERSION } from './schema.js';

/** What an export holds, as its manifest.json says it. */
export interface ExportManifest {
  readonly schema_version: number;
  /** When it began: of what was written later some may be missing. */
  readonly exported_ms: number;
  /** Slates before it were left out; null = none were. */
  readonly since_ms: number | null;
  readonly events: number;
  readonly persons: number;
  readonly slates: number;
  readonly foreign_slates: number;
  /** Slates that anything was told of. */
  readonly slates_with_outcomes: number;
  /** Served slates by release. */
  readonly releases: Readonly<Record<string, number>>;
}

/** @throws OnepassError `startup` naming the file that is missing, broken or of another schema. */
export async function readManifest(directory: string): Promise<ExportManifest> {
  const file = join(directory, MANIFEST_FILE);
  let manifest: ExportManifest;
  try {
    manifest = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw startupError(`${directory} is not an export: ${MANIFEST_FILE} cannot be read`, error);
  }
  if (manifest.schema_version === SCHEMA_VERSION) return manifest;
  throw startupError(`${file} says schema version ${manifest.schema_version}, this build reads ${SCHEMA_VERSION}`);
}

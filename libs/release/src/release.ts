import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { readJson, verifyFile } from './files.js';
import { releaseId } from './identity.js';
import { DRAFT_MANIFEST, type DraftManifest, MANIFEST, type Manifest, parseDraft, parseManifest } from './manifest.js';
import { Vocabulary } from './vocabulary.js';

/** A release whose every byte was checked against its manifest. */
export interface Release {
  readonly id: string;
  readonly directory: string;
  readonly manifest: Manifest;
  readonly vocabulary: Vocabulary;
  /** Where a file of the release lies. */
  path(relative: string): string;
}

/** What training writes: a release still without index, checksums and id. */
export interface ReleaseDraft {
  readonly directory: string;
  readonly manifest: DraftManifest;
  /** The manifest as read, so that finishing keeps what this version does not know. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/**
 * Reads the manifest and verifies size and checksum of every file it lists, and the id.
 * @throws OnepassError `startup`, one sentence naming the file or the manifest's field
 */
export async function loadRelease(directory: string): Promise<Release> {
  const where = `release ${directory}: ${MANIFEST}`;
  const raw = await readJson(directory, MANIFEST);
  const manifest = parseManifest(raw, where);
  const id = releaseId(raw as Record<string, unknown>, manifest.files);
  if (id !== manifest.id) {
    throw startupError(`${where}: id is ${manifest.id}, its content has ${id}: the manifest was altered or is damaged`);
  }
  for (const file of manifest.files) await verifyFile(directory, file);
  return {
    id,
    directory,
    manifest,
    vocabulary: new Vocabulary(manifest),
    path: (relative) => join(directory, relative),
  };
}

/**
 * `provider`: where the graphs that serve are about to run, `cpu` or the name of a device.
 * @throws OnepassError `startup`, one sentence naming the manifest's field and the setting, when they have operators that it lacks
 */
export function requireProvider({ directory, manifest }: Release, provider: string): void {
  if (manifest.model.precision !== 'int8' || provider === 'cpu') return;
  throw startupError(
    `release ${directory}: ${MANIFEST}: model.precision is int8, whose graphs run on CPUs only: ONEPASS_EXECUTION_PROVIDER must be cpu, or the release one that serves in fp32`,
  );
}

/** @throws OnepassError `startup`, one sentence naming the file or the draft's field. */
export async function loadDraft(directory: string): Promise<ReleaseDraft> {
  const raw = await readJson(directory, DRAFT_MANIFEST);
  const manifest = parseDraft(raw, `release ${directory}: ${DRAFT_MANIFEST}`);
  return { directory, manifest, raw: raw as Record<string, unknown> };
}

import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { loadRelease, MANIFEST } from '@onepass/release';
import { buildRelease } from '@onepass/vectors';
import { ensurePythonOf } from './python.js';
import { runTraining, TRAINING_SOURCES } from './run-training.js';
import { nameOf, type ReleaseShape } from './shape.js';

export interface ShapeReleaseOptions {
  /** Where such releases are kept (default `.onepass/shapes`). */
  readonly folder?: string;
  /** Interpreter with training's packages; asked for only when a release has to be made. */
  readonly python?: () => Promise<string>;
  readonly progress: (line: string) => void;
}

/** What of training such a release comes of. */
const OF_RELEASES = /^(config\.py|(data|learn|model|release|world)\/.*\.py)$/;
/** In a kept release's folder: the release itself, and a hash of the sources it was made by. */
const RELEASE = 'release';
const STAMP = 'sources';
const SHARDS = 2;

/**
 * A release of this shape with synthetic weights: the one that is kept, or a new one where there is none or training's sources
 * have changed since. Whole or not at all.
 * @returns its directory
 * @throws OnepassError `startup`: there is no Python, or making it failed
 */
export async function shapeRelease(shape: ReleaseShape, options: ShapeReleaseOptions): Promise<string> {
  const { folder = join(repositoryRoot, '.onepass', 'shapes'), progress } = options;
  const name = `${nameOf(shape)}-h${shape.heads}-i${shape.items}`;
  const kept = join(folder, name);
  const sources = await hashOfSources(join(TRAINING_SOURCES, 'onepass_training'));
  if (await isKept(kept, sources)) return join(kept, RELEASE);
  const python = await (options.python ?? (() => ensurePythonOf('training')))();
  const making = join(folder, `.${name}.making`);
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { recursive: true });
  try {
    progress(`making ${nameOf(shape)}`);
    const release = join(making, RELEASE);
    await writeDraft(python, shape, release, progress);
    await buildRelease(release, { shards: SHARDS, progress });
    await loadRelease(release);
    await writeFile(join(making, STAMP), sources);
    await rm(kept, { recursive: true, force: true });
    await rename(making, kept);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return join(kept, RELEASE);
}

async function isKept(kept: string, sources: string): Promise<boolean> {
  if ((await readFile(join(kept, STAMP), 'utf8').catch(() => '')) !== sources) return false;
  return access(join(kept, RELEASE, MANIFEST)).then(
    () => true,
    () => false,
  );
}

/** Of training's sources: a release that others made might not be what they would make now. */
async function hashOfSources(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const files = (await readdir(folder, { recursive: true })).filter((file) => OF_RELEASES.test(file)).sort();
  for (const file of files) hash.update(`${file}\0`).update(await readFile(join(folder, file)));
  return hash.digest('hex');
}

/** Runs training's `shape` command. */
async function writeDraft(
  python: string,
  { n, k, layers, width, heads, items }: ReleaseShape,
  directory: string,
  progress: (line: string) => void,
): Promise<void> {
  const shape = { n, k, layers, width, heads, items, out: directory };
  const args = Object.entries(shape).flatMap(([name, value]) => [`--${name}`, String(value)]);
  await runTraining('shape', args, 'the release of --shape could not be made', { python, progress });
}

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mesh, repositoryRoot } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import { writeProtoset } from '../ghz.js';
import { HABITS, PAGE } from '../page.js';
import { personId, writeHistories } from '../people.js';
import { warmUp } from '../warm.js';

export const DEFAULT_RELEASE = join(repositoryRoot, 'releases', 'default');

/** A mesh on the default release whose people have full windows, all of them asked for once. */
export interface WarmMesh {
  readonly mesh: Mesh;
  /** For ghz: a page of each person, and the contract's descriptors. */
  readonly requests: string;
  readonly protoset: string;
  stop(): Promise<void>;
}

/** @param overrides settings by role */
export async function startWarmMesh(
  people: number,
  overrides: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Promise<WarmMesh> {
  const releaseDir = DEFAULT_RELEASE;
  const release = await loadRelease(releaseDir);
  const items = await openItems(release);
  const folder = await mkdtemp(join(tmpdir(), 'onepass-drill-'));
  const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: folder, overrides });
  const stop = async () => {
    await mesh.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await mesh.start();
    const gateway = mesh.address('gateway');
    const { window } = release.manifest.model;
    const many = { count: people, length: window, nowMs: Date.now() };
    await writeHistories(gateway, items.ids, HABITS, many);
    await warmUp(gateway, PAGE, { people, kept: true });
    const requests = join(folder, 'requests.json');
    const protoset = join(folder, 'contract.binpb');
    const pages = Array.from({ length: people }, (_, person) => ({
      person: { user_id: personId(person) },
      surface: PAGE.surface,
      page_size: PAGE.pageSize,
      candidates: PAGE.candidates,
    }));
    await writeFile(requests, JSON.stringify(pages));
    await writeProtoset(repositoryRoot, protoset);
    return { mesh, requests, protoset, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

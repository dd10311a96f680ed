import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, user } from '@onepass/client';
import { likedAction, Mesh, plainSurface } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import type { PrewarmOptions } from './options.js';

const PEOPLE = 40;
const ACTIONS = 12;
const DAY_MS = 86_400_000;

/** Warms two cells of a mesh of its own, twice: the second time everybody is held. */
export async function smoke(releaseDir: string, warm: (options: PrewarmOptions) => Promise<number>): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), 'onepass-prewarm-'));
  try {
    const settings = { ONEPASS_HISTORY: 'lmdb' };
    const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir, cells: 2, settings });
    await mesh.start();
    try {
      await act(mesh, releaseDir);
      const usual = { rate: 50, inFlight: 1, most: undefined, dryRun: false, activeWithinMs: DAY_MS };
      const options = {
        ...usual,
        cells: mesh.cells,
        cell: undefined,
        releaseDir,
        place: 'lmdb',
        dataDir,
      } as const;
      return (await warm(options)) || (await warm(options));
    } finally {
      await mesh.stop();
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** People who never asked for a page. */
async function act(mesh: Mesh, releaseDir: string): Promise<void> {
  const { ids } = await openItems(await loadRelease(releaseDir));
  const onepass = connect(mesh.address('gateway'), { tls: mesh.tls });
  try {
    const { surfaces, actions } = await onepass.describe({});
    const surface = plainSurface(surfaces) ?? surfaces[0] ?? '';
    for (let person = 0; person < PEOPLE; person++) {
      const events = Array.from({ length: ACTIONS }, (_, i) => ({
        eventId: `${person}-${i}`,
        itemId: ids[(person * ACTIONS + i) % ids.length] ?? '',
        actions: [likedAction(actions)],
        surface,
      }));
      await onepass.logActions({ person: user(`smoke-${person}`), events });
    }
  } finally {
    onepass.close();
  }
}

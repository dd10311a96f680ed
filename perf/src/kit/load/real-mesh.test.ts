import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mesh, repositoryRoot } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import { bundleProgram, SMOKE_RELEASE } from '@onepass/testing';
import { expect, test } from 'vitest';
import { writeProtoset } from '../../ghz.js';
import { habitsOf, pageOf } from '../../page.js';
import { writeHistories } from '../../people.js';
import { gatewayTarget } from './gateway-target.js';
import { sendLoad } from './send-load.js';
import { GHZ } from './tiny-server.suite.js';

const PEOPLE = 200;

test.skipIf(GHZ === undefined)(
  'both senders load a mesh, whose counters say what ghz does not',
  { timeout: 120_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onepass-real-load-test-'));
    const program = await bundleProgram(new URL('./replayer.program.ts', import.meta.url));
    const release = await loadRelease(SMOKE_RELEASE);
    const mesh = await Mesh.prepare({ releaseDir: SMOKE_RELEASE, port: undefined, dataDir: folder });
    try {
      await mesh.start();
      const address = mesh.address('gateway');
      const target = gatewayTarget(address, () => mesh.pids());
      const page = { ...pageOf(release), pageSize: 10 };
      const habits = habitsOf(release, page);
      const { ids: itemIds } = await openItems(release);
      await writeHistories(address, itemIds, habits, { count: PEOPLE, length: 4, nowMs: Date.now() });
      const protoset = join(folder, 'contract.binpb');
      await writeProtoset(repositoryRoot, protoset);
      const { surfaces } = release.manifest.vocabulary;
      const trace = { seed: 1, habits, itemIds, surfaces, queries: ['a thing'], parameters: { actionsPerPage: 3 } };
      const options = {
        seconds: 1,
        warmUpSeconds: 1,
        people: PEOPLE,
        page,
        folder,
        protoset,
        trace,
        replayer: program.path,
      };
      const closed = await sendLoad({ kind: 'closed', concurrency: 2 }, target, options);
      const counted = Object.values(closed.kv).reduce((sum, count) => sum + count, 0);
      expect(closed.seen.good).toBeGreaterThan(0);
      expect(counted).toBeGreaterThan(0);
      expect(Object.keys(closed.cpuMs).sort()).toEqual(['gateway', 'ranking', 'retrieval', 'user-encoder']);
      const replayed = await sendLoad({ kind: 'trace', people: PEOPLE, qps: 20 }, target, options);
      expect(replayed.seen.calls).toBeGreaterThan(0);
      // Refusals and late pages are the machine's affair; a page or an action that is wrong is ours.
      expect(Object.keys(replayed.seen.errors).filter((status) => status !== 'RESOURCE_EXHAUSTED')).toEqual([]);
      expect(replayed.actions).toMatchObject({ refused: 0, failed: {} });
      expect(replayed.actions?.acknowledged).toBeGreaterThan(0);
      expect(replayed.cutShort).toBeUndefined();
    } finally {
      await mesh.stop();
      program.remove();
      rmSync(folder, { recursive: true });
    }
  },
);

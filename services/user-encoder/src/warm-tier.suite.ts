import { join } from 'node:path';
import { createEngine } from '@onepass/inference';
import type { KvShape } from '@onepass/kv';
import { silentLogger } from '@onepass/telemetry';
import { type Lease, openCodec, openDiskStore, type WarmCodec, WarmTier } from '@onepass/warm-tier';

export interface TestTierOptions {
  readonly directory: string;
  readonly shape: KvShape;
  readonly releaseId: string;
  readonly lease: (person: string) => Lease | undefined;
}

/** A warm tier on disk with its real codec. What is offered is written at once. */
export async function openTestTier(name: WarmCodec, { directory, ...identity }: TestTierOptions) {
  const engine = createEngine({ provider: 'cpu', inFlight: 2, threads: 1 });
  const maxAgeMs = 60_000;
  const limits = { maxBytes: 1 << 20, maxAgeMs, maxEntryBytes: 1 << 16 };
  const store = await openDiskStore({ ...limits, ...identity, directory: join(directory, 'warm') });
  const codec = await openCodec(name, engine, identity.shape);
  const writing = { quietMs: 0, maxWaiting: 100, bytesPerSecond: 1e9 };
  const tier = new WarmTier({ codec, store, ...identity, logger: silentLogger, maxAgeMs, writing });
  return {
    tier,
    close: async () => {
      await tier.close({ flushMs: 5_000 });
      await engine.close();
    },
  };
}

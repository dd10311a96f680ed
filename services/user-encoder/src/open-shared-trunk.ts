import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { createServiceEngine } from '@onepass/inference';
import { KV_POOL_FILE, KvPoolWriter, kvBytes, kvShape, poolBytes } from '@onepass/kv';
import { type Release, requireProvider } from '@onepass/release';
import { createSharedMemory } from '@onepass/shared-memory';
import type { UserEncoderSettings } from './settings.js';
import { SharedTrunk } from './shared-trunk.js';
import { startWarmTier } from './start-warm-tier.js';
import type { OpenTrunk, TrunkHost } from './trunk-host.js';

/**
 * The trunk of a user-encoder that has a process of its own: the release's encode graph over a KV pool made anew in shared memory.
 * @throws OnepassError `startup`: one sentence naming the setting or file
 */
export async function openSharedTrunk(settings: UserEncoderSettings, host: TrunkHost): Promise<OpenTrunk> {
  const { release, model, logger, measurements, closing, leaseOf } = host;
  const pool = makePool(release, settings, closing);
  const engine = createServiceEngine(settings);
  closing.push(() => engine.close());
  logger.info({ provider: engine.provider, why: engine.providerReason }, 'execution provider');
  requireProvider(release, engine.provider);
  const graph = await engine.load(release.path(release.manifest.graphs.encode));
  const trunk = new SharedTrunk(model, engine, graph, pool);
  const tier = await startWarmTier(settings, { release, model, trunk, engine, lease: leaseOf, logger, measurements });
  if (tier !== undefined) closing.push(() => tier.close({ flushMs: settings.drainMs }));
  const warm = tier && { tier, tensors: pool.tensors.bind(pool) };
  const shape = kvShape(release.manifest.model);
  const slotBytes = kvBytes(shape, shape.capacity);
  return { trunk, slotBytes, engine, provider: engine.provider, load: engine, warm };
}

function makePool(release: Release, settings: UserEncoderSettings, closing: TrunkHost['closing']): KvPoolWriter {
  const shape = kvShape(release.manifest.model);
  try {
    mkdirSync(settings.cellDir, { recursive: true });
  } catch (error) {
    throw startupError(`ONEPASS_CELL_DIR: ${settings.cellDir} cannot be made: ${(error as Error).message}`, error);
  }
  const whole = settings.kvSlots * kvBytes(shape, shape.capacity);
  const bytes = settings.kvMiB === 0 ? whole : Math.min(whole, settings.kvMiB * 2 ** 20);
  const path = join(settings.cellDir, KV_POOL_FILE);
  const memory = createSharedMemory(path, poolBytes(shape, settings.kvSlots), bytes);
  closing.push(() => memory.close());
  return KvPoolWriter.create(memory, {
    shape,
    slots: settings.kvSlots,
    bytes,
    releaseId: release.id,
    poolId: randomUUID(),
    restMs: settings.kvRestMs,
    now: () => performance.now(),
  });
}

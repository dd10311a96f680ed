import { resolve } from 'node:path';
import type { InferenceEngine } from '@onepass/inference';
import type { KvShape } from '@onepass/kv';
import type { Logger } from '@onepass/telemetry';
import { openCodec } from './codec.js';
import { openDiskStore } from './disk-store.js';
import { HEADER_BYTES } from './entry.js';
import { openRedisStore } from './redis-store.js';
import { redisOf, type WarmTierSettings } from './settings.js';
import type { StoreLimits, WarmStore } from './store.js';
import { WarmTier } from './warm-tier.js';
import type { Lease } from './write-behind.js';

export interface OpenWarmTierParts {
  readonly engine: InferenceEngine;
  readonly releaseId: string;
  readonly shape: KvShape;
  /** See `WarmTierParts`. */
  readonly lease: (person: string) => Lease | undefined;
  readonly logger: Logger;
}

const QUIET_MS = 1_000;
const MAX_WAITING = 10_000;
const MIB = 1 << 20;

/**
 * Undefined where it is off. A Redis that is gone does not keep it from opening; while it is, every find is a miss.
 * @throws OnepassError `startup`, one sentence that names the setting, directory or file
 */
export async function openWarmTier(
  settings: WarmTierSettings,
  parts: OpenWarmTierParts,
): Promise<WarmTier | undefined> {
  if (settings.warmTier === 'off') return undefined;
  const codec = await openCodec(settings.warmCodec, parts.engine, parts.shape);
  const maxAgeMs = settings.warmMaxAgeS * 1_000;
  const limits = {
    maxBytes: settings.warmMib * MIB,
    maxAgeMs,
    maxEntryBytes: HEADER_BYTES + codec.payloadBytes(parts.shape.capacity),
  };
  const store = await openStore(settings, parts.releaseId, limits);
  const bytesPerSecond = settings.warmWriteMibS * MIB;
  return new WarmTier({
    ...parts,
    codec,
    store,
    maxAgeMs,
    writing: { quietMs: QUIET_MS, maxWaiting: MAX_WAITING, bytesPerSecond },
  });
}

function openStore(settings: WarmTierSettings, releaseId: string, limits: StoreLimits): Promise<WarmStore> {
  const { warmTier, warmDir, dataDir, warmTimeoutMs: timeoutMs } = settings;
  return warmTier === 'redis'
    ? openRedisStore({ ...limits, releaseId, place: redisOf(settings), timeoutMs })
    : openDiskStore({ ...limits, releaseId, directory: resolve(dataDir, warmDir) });
}

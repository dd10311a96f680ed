import type { InferenceEngine } from '@onepass/inference';
import { kvShape } from '@onepass/kv';
import type { Release } from '@onepass/release';
import type { Logger, Measurements } from '@onepass/telemetry';
import { DROPS, FINDS, type Lease, openWarmTier, type WarmTier, type WarmTierSettings } from '@onepass/warm-tier';
import type { ServedModel } from './served-model.js';
import type { SharedTrunk } from './shared-trunk.js';

export interface StartWarmTierParts {
  readonly release: Release;
  readonly model: ServedModel;
  readonly trunk: SharedTrunk;
  readonly engine: InferenceEngine;
  readonly lease: (person: string) => Lease | undefined;
  readonly logger: Logger;
  readonly measurements: Measurements;
}

/**
 * Opens the warm tier, and measures for which histories it beats encoding them here. Undefined where it is off.
 * @throws OnepassError `startup` as `openWarmTier`
 */
export async function startWarmTier(
  settings: WarmTierSettings,
  { release, model, trunk, engine, lease, logger, measurements }: StartWarmTierParts,
): Promise<WarmTier | undefined> {
  const shape = kvShape(release.manifest.model);
  const tier = await openWarmTier(settings, { engine, releaseId: release.id, shape, lease, logger });
  if (tier === undefined) return undefined;
  // The first pass of a length takes longer than those after it.
  await trunk.timeEncode(model.window);
  const tokens = [1, 2, 4, 8].map((part) => Math.floor(model.window / part)).filter((length) => length > 0);
  const { usedFrom, table } = await tier.calibrate({ recompute: (length) => trunk.timeEncode(length), tokens });
  const where = { tier: settings.warmTier, codec: settings.warmCodec, table };
  if (usedFrom === undefined)
    logger.warn(where, 'the warm tier is not used: restoring takes more than half of encoding');
  else logger.info({ ...where, usedFrom }, 'the warm tier is used for histories of usedFrom tokens and more');
  measure(measurements, tier);
  return tier;
}

function measure(measurements: Measurements, tier: WarmTier): void {
  measurements.observe('onepass.warm.entries', () => tier.stats().entries);
  measurements.observe('onepass.warm.usage', () => tier.stats().bytes);
  measurements.observe('onepass.warm.waiting', () => tier.stats().waiting);
  measurements.observe('onepass.warm.writes', () => tier.stats().writes);
  for (const find of FINDS) {
    measurements.observe('onepass.warm.finds', () => tier.stats().finds[find], { 'onepass.warm.find': find });
  }
  for (const drop of DROPS) {
    measurements.observe('onepass.warm.drops', () => tier.stats().dropped[drop], { 'onepass.warm.drop': drop });
  }
}

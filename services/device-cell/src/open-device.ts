import { randomUUID } from 'node:crypto';
import { type DeviceModel, DeviceTrunk, pagedShapeOf, poolsBytes, USUAL_BUCKETS } from '@onepass/device-trunk';
import { startupError } from '@onepass/errors';
import { createDeviceEngine, type DeviceEngine, endOnLostDevice } from '@onepass/inference';
import type { Release } from '@onepass/release';
import type { Logger, Measurements } from '@onepass/telemetry';
import { attentionOf } from './device-graphs.js';
import type { DeviceCellSettings } from './settings.js';
import { usualRuns } from './warm-up.js';

/** As many as the engine lets wait. */
const MAX_QUEUED = 256;
const MIB = 2 ** 20;

/** @throws OnepassError `startup`: a device that is not to be had */
export async function openDeviceEngine(settings: DeviceCellSettings, logger: Logger): Promise<DeviceEngine> {
  const engine = await createDeviceEngine({
    device: settings.executionProvider,
    libraryDirectory: settings.onnxruntimeDir,
    lanes: settings.lanes,
    threads: settings.inferenceThreads,
    spin: settings.spin === 'yes',
    onLost: endOnLostDevice,
  });
  logger.info({ provider: engine.device, why: engine.reason, lanes: engine.lanes }, 'execution provider');
  return engine;
}

/**
 * The trunk with KV pools made anew, and runs that are sure to come prepared.
 * @throws OnepassError `startup`: a graph that does not load, or not so much memory on the device
 */
export async function openTrunk(
  settings: DeviceCellSettings,
  release: Release,
  { engine, model, logger }: { readonly engine: DeviceEngine; readonly model: DeviceModel; readonly logger: Logger },
): Promise<DeviceTrunk> {
  const { kvSlots: slots, batch } = settings;
  const attention = attentionOf(model, settings.attention);
  const trunk = await DeviceTrunk.open({
    ...{ engine, model, attention },
    kv: {
      slots,
      bytes: kvBytes(settings, model),
      releaseId: release.id,
      poolId: randomUUID(),
      restMs: settings.kvRestMs,
    },
    candidates: release.manifest.model.maxCandidates,
    usualCandidates: settings.candidates,
    buckets: { ...USUAL_BUCKETS, people: batch, slates: batch },
    prepared: { most: settings.preparedRuns, bytes: settings.preparedMiB * MIB },
    maxQueued: MAX_QUEUED,
  });
  try {
    const { buckets, kv } = trunk;
    // Making one ready captures it on a GPU, which takes long and stops all others; a CPU has nothing to capture.
    const usual = usualRuns(buckets, settings.candidates, engine.device === 'cpu' ? [1] : buckets.people);
    logger.info({ kvBytes: kv.stats().bytesLimit, attention, sizes: usual.length }, 'making runs ready');
    logger.debug({ buckets: buckets.describe() }, 'sizes of runs');
    const began = performance.now();
    await trunk.warmUp(usual);
    const { kept, bytes } = trunk.stats().prepared;
    logger.info({ kept, bytes, tookMs: Math.round(performance.now() - began) }, 'runs are ready');
    return trunk;
  } catch (error) {
    await trunk.close();
    throw error;
  }
}

/**
 * Bytes of KV: of whole histories in every slot, unless less is set.
 * @throws OnepassError `startup` when what is set has no room for one
 */
export function kvBytes({ kvSlots, kvMiB }: Pick<DeviceCellSettings, 'kvSlots' | 'kvMiB'>, model: DeviceModel): number {
  const shape = pagedShapeOf(model);
  const whole = poolsBytes(shape, kvSlots);
  if (kvMiB === 0) return whole;
  const least = Math.ceil(poolsBytes(shape, 1) / MIB);
  if (kvMiB < least)
    throw startupError(`ONEPASS_KV_MIB: ${kvMiB} MiB have no room for one full history, which takes ${least}`);
  return Math.min(whole, kvMiB * MIB);
}

/** Told by the role that writes the KV. */
export function measureDevice(measurements: Measurements, engine: DeviceEngine, trunk: DeviceTrunk): void {
  measurements.observe('onepass.device.runs', () => trunk.stats().runs);
  measurements.observe('onepass.device.asks', () => trunk.stats().asked);
  measurements.observe('onepass.device.padding', () => trunk.stats().padding);
  measurements.observe('onepass.device.prepared', () => trunk.stats().prepared.kept);
  measurements.observe('onepass.device.prepared.usage', () => trunk.stats().prepared.bytes);
  measurements.observe('onepass.device.prepared.made', () => trunk.stats().prepared.made);
  measurements.observe('onepass.device.memory.limit', () => engine.memory().totalBytes);
  measurements.observe('onepass.device.memory.free', () => engine.memory().freeBytes);
}

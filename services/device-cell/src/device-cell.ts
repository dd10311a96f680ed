import { describeSettings, readSettings } from '@onepass/config';
import { openEdge, type RoleProgram, type RunningRole } from '@onepass/contracts';
import { type DeviceTrunk, slotBytes } from '@onepass/device-trunk';
import { createServiceEngine, type DeviceEngine } from '@onepass/inference';
import { type RankingRoleSettings, type ServedRanking, serveRanking } from '@onepass/ranking';
import { loadRelease, type Release } from '@onepass/release';
import { createLogger } from '@onepass/telemetry';
import { type ServedUserEncoder, serveUserEncoder } from '@onepass/user-encoder';
import { DeviceEncoder } from './device-encoder.js';
import { openDeviceModel } from './device-graphs.js';
import { DeviceRanker } from './device-ranker.js';
import { measureDevice, openDeviceEngine, openTrunk } from './open-device.js';
import { type DeviceCellSettings, deviceCellSettings } from './settings.js';

/** Both roles as one program; main.ts runs it. */
export const deviceCellProgram: RoleProgram = {
  role: 'device-cell',
  summary: 'user-encoder and ranking in one process, over one trunk and its KV on a device.',
  help: describeSettings(deviceCellSettings),
  start: async (env) => startDeviceCell(readSettings(deviceCellSettings, env)),
};

/** The user-encoder's address and logger are the process's. */
export interface RunningCell extends RunningRole {
  readonly rankingAddress: string;
}

/** What both roles stand on. */
interface Device {
  readonly engine: DeviceEngine;
  readonly trunk: DeviceTrunk;
}

/**
 * Serves Encode and Rank, each on a port of its own, over one trunk on one device. Both are ready at the same moment.
 * @throws OnepassError `startup`: one sentence naming the setting, file or port
 */
export async function startDeviceCell(settings: DeviceCellSettings): Promise<RunningCell> {
  // Before there are roles: a GPU takes a while.
  const opening = createLogger('device-cell', settings.logLevel);
  const release = await loadRelease(settings.releaseDir);
  const model = await openDeviceModel(settings.deviceGraphs, release);
  const closing: (() => Promise<void>)[] = [];
  // Callers encode before they rank: the user-encoder drains first, so that pages that it has begun are ranked. The device goes last.
  const close = async () => {
    for (const one of closing.splice(0).reverse()) await one();
  };
  try {
    const engine = await openDeviceEngine(settings, opening);
    closing.push(() => engine.close());
    const trunk = await openTrunk(settings, release, { engine, model, logger: opening });
    closing.push(() => trunk.close());
    const ranking = await startRanking(settings, release, { engine, trunk });
    closing.push(() => ranking.stop());
    const encoder = await startEncoder(settings, release, { engine, trunk });
    closing.push(() => encoder.stop());
    const setServing = (serving: boolean) => {
      for (const role of [ranking, encoder]) role.setServing(serving);
    };
    const { address, logger } = encoder;
    logger.info({ ranking: ranking.address }, 'ranking beside it');
    if (settings.warmTier !== 'off') logger.warn({}, noWarmTier(settings));
    setServing(true);
    const stop = () => {
      setServing(false);
      return close();
    };
    return { address, logger, rankingAddress: ranking.address, stop };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startRanking(
  settings: DeviceCellSettings,
  release: Release,
  { engine, trunk }: Device,
): Promise<ServedRanking> {
  const own: RankingRoleSettings = {
    ...settings,
    port: settings.rankingPort,
    metricsPort: settings.rankingMetricsPort,
  };
  const edge = await openEdge('ranking', own, release.id);
  return serveRanking({ settings: own, release, edge }, async ({ measurements }) => {
    return new DeviceRanker(trunk, engine.device, measurements);
  });
}

async function startEncoder(
  settings: DeviceCellSettings,
  release: Release,
  { engine, trunk }: Device,
): Promise<ServedUserEncoder> {
  const edge = await openEdge('user-encoder', settings, release.id);
  return serveUserEncoder({ settings, release, edge }, async ({ model, measurements, closing }) => {
    // Head and query tower: small graphs that wait for nobody on the device.
    const beside = createServiceEngine({ ...settings, executionProvider: 'cpu' });
    closing.push(() => beside.close());
    const encoder = new DeviceEncoder(trunk, model);
    measureDevice(measurements, engine, trunk);
    const load = {
      get queued() {
        return encoder.load.queued + beside.queued;
      },
      get running() {
        return encoder.load.running + beside.running;
      },
      get started() {
        return encoder.load.started + beside.started;
      },
    };
    return {
      trunk: encoder,
      slotBytes: slotBytes(trunk.kv.pools.shape),
      engine: beside,
      provider: engine.device,
      load,
    };
  });
}

function noWarmTier({ warmTier }: DeviceCellSettings): string {
  return `ONEPASS_WARM_TIER is ${warmTier}, but a device cell has no warm tier: who has lost their slot is encoded anew`;
}

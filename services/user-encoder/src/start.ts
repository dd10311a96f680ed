import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describeSettings, readSettings } from '@onepass/config';
import { boundedStage, openEdge, type RoleProgram, type RunningRole, startServer } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { openHistory } from '@onepass/history';
import { createEngine, endOnLostDevice, type InferenceEngine } from '@onepass/inference';
import { KV_POOL_FILE, KvPoolWriter, kvBytes, kvShape, poolBytes } from '@onepass/kv';
import { loadRelease, openItems, type Release, requireProvider } from '@onepass/release';
import { createSharedMemory } from '@onepass/shared-memory';
import type { Measurements } from '@onepass/telemetry';
import { QueryTower } from './query-tower.js';
import { servedModel } from './served-model.js';
import { userEncoderService } from './service.js';
import { checkUserEncoderSettings, type UserEncoderSettings, userEncoderSettings } from './settings.js';
import { startWarmTier } from './start-warm-tier.js';
import { Trunk } from './trunk.js';
import { UserEncoder } from './user-encoder.js';

/** The role as a program; main.ts runs it. */
export const userEncoderProgram: RoleProgram = {
  role: 'user-encoder',
  summary: 'brings persons’ KV up to their histories and answers query embeddings.',
  help: describeSettings(userEncoderSettings),
  start: async (env) => startUserEncoder(readSettings(userEncoderSettings, env)),
};

/** Persons remembered for each slot: those whose KV was evicted keep their seen items for a while. */
const REMEMBERED_PER_SLOT = 2;

/**
 * Serves Encode over one release, one history and a KV pool made anew.
 * @throws OnepassError `startup`: one sentence naming the setting, file or port.
 */
export async function startUserEncoder(settings: UserEncoderSettings): Promise<RunningRole> {
  checkUserEncoderSettings(settings);
  const release = await loadRelease(settings.releaseDir);
  const edge = await openEdge('user-encoder', settings, release.id);
  const { logger, measurements } = edge;
  const closing: (() => Promise<void> | void)[] = [() => edge.close()];
  // The server first, then what it uses: graph runs write to the pool's memory and die on it when it is gone.
  const close = async () => {
    for (const one of closing.splice(0).reverse()) await one();
  };
  try {
    const model = servedModel(release, await openItems(release));
    const pool = makePool(release, settings, measurements, closing);
    const history = await openHistory(settings);
    closing.push(() => history.close());
    const engine = createEngine({
      provider: settings.executionProvider,
      libraryDirectory: settings.onnxruntimeDir,
      onLost: endOnLostDevice,
      inFlight: settings.inferenceInFlight,
      threads: settings.inferenceThreads,
    });
    closing.push(() => engine.close());
    logger.info({ provider: engine.provider, why: engine.providerReason }, 'execution provider');
    requireProvider(release, engine.provider);
    const trunk = await loadTrunk(release, model, engine);
    const warmTier = await startWarmTier(settings, {
      release,
      model,
      trunk,
      engine,
      lease: (person) => encoder.leaseOf(person),
      ...{ logger, measurements },
    });
    if (warmTier !== undefined) closing.push(() => warmTier.close({ flushMs: settings.drainMs }));
    const encoder = new UserEncoder({
      model,
      trunk,
      queryTower: await loadQueryTower(release, model, engine),
      pool,
      restMs: settings.kvRestMs,
      history,
      logger,
      measurements,
      warmTier,
      mayUseWarmTier: () => !edge.switches.isOn('tier_off') && !edge.switches.isOn('kv_reuse_off'),
      mayReuseKv: () => !edge.switches.isOn('kv_reuse_off'),
      rememberedPersons: REMEMBERED_PER_SLOT * settings.kvSlots,
    });
    closing.push(() => encoder.idle());
    measurements.observe('onepass.inference.queued', () => engine.queued);
    measurements.observe('onepass.inference.running', () => engine.running);
    measurements.observe('onepass.inference.runs', () => engine.started);
    const service = userEncoderService({ release, model, encoder, measurements, executionProvider: engine.provider });
    const server = await startServer({
      ...edge.server,
      host: settings.host,
      port: settings.port,
      services: [boundedStage(service, measurements)],
    });
    closing.push(() => server.stop(settings.drainMs));
    server.setServing(true);
    return { address: server.address, logger, stop: close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function loadTrunk(release: Release, model: ReturnType<typeof servedModel>, engine: InferenceEngine) {
  const { encode, retrieveHead } = release.manifest.graphs;
  return new Trunk(model, engine, {
    encode: await engine.load(release.path(encode)),
    retrieveHead: await engine.load(release.path(retrieveHead)),
  });
}

async function loadQueryTower(release: Release, model: ReturnType<typeof servedModel>, engine: InferenceEngine) {
  const { queryTower } = release.manifest.graphs;
  const tokenizer = model.queryTokenizer;
  if (queryTower === null || tokenizer === undefined) return undefined;
  const graph = await engine.load(release.path(queryTower));
  return new QueryTower(engine, graph, { tokenizer, dimension: model.layout.itemDimension });
}

function makePool(
  release: Release,
  settings: UserEncoderSettings,
  measurements: Measurements,
  closing: (() => void)[],
): KvPoolWriter {
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
  const pool = KvPoolWriter.create(memory, {
    shape,
    slots: settings.kvSlots,
    bytes,
    releaseId: release.id,
    poolId: randomUUID(),
    restMs: settings.kvRestMs,
    now: () => performance.now(),
  });
  measurePool(measurements, pool, settings.kvSlots);
  return pool;
}

function measurePool(measurements: Measurements, pool: KvPoolWriter, slots: number): void {
  measurements.observe('onepass.kv.slots.limit', () => slots);
  for (const state of ['free', 'filling', 'held', 'resting'] as const) {
    measurements.observe('onepass.kv.slots.usage', () => pool.stats().slots[state], { 'onepass.kv.slot.state': state });
  }
  measurements.observe('onepass.kv.slots.leased', () => pool.stats().leased);
  measurements.observe('onepass.kv.memory.limit', () => pool.stats().bytesLimit);
  measurements.observe('onepass.kv.memory.usage', () => pool.stats().bytes);
  measurements.observe('onepass.kv.allocations', () => pool.stats().allocations, {
    'onepass.kv.allocation': 'granted',
  });
  measurements.observe('onepass.kv.allocations', () => pool.stats().refusals, { 'onepass.kv.allocation': 'refused' });
  measurements.observe('onepass.kv.evictions', () => pool.stats().evictions);
  measurements.observe('onepass.kv.evictions.early', () => pool.stats().earlyEvictions);
}

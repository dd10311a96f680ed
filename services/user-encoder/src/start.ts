import { describeSettings, readSettings } from '@onepass/config';
import { boundedStage, type Edge, openEdge, type RoleProgram, type RunningRole, startServer } from '@onepass/contracts';
import { openHistory } from '@onepass/history';
import type { InferenceEngine } from '@onepass/inference';
import type { KvSlots } from '@onepass/kv';
import { loadRelease, openItems, type Release } from '@onepass/release';
import type { Measurements } from '@onepass/telemetry';
import { openSharedTrunk } from './open-shared-trunk.js';
import { QueryTower } from './query-tower.js';
import { RetrievalHead } from './retrieval-head.js';
import { type ServedModel, servedModel } from './served-model.js';
import { userEncoderService } from './service.js';
import {
  checkUserEncoderSettings,
  type EncoderRoleSettings,
  type UserEncoderSettings,
  userEncoderSettings,
} from './settings.js';
import type { OpenTrunk, TrunkHost } from './trunk-host.js';
import { UserEncoder } from './user-encoder.js';

/** The role as a program; main.ts runs it. */
export const userEncoderProgram: RoleProgram = {
  role: 'user-encoder',
  summary: 'brings persons’ KV up to their histories and answers query embeddings.',
  help: describeSettings(userEncoderSettings),
  start: async (env) => startUserEncoder(readSettings(userEncoderSettings, env)),
};

export interface ServedUserEncoder extends RunningRole {
  /** What health answers; not serving at first. */
  setServing(serving: boolean): void;
}

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
  const served = await serveUserEncoder({ settings, release, edge }, (host) => openSharedTrunk(settings, host));
  served.setServing(true);
  return served;
}

/**
 * The role over the trunk that `open` gives: what is closed at its end is what was put into `closing`, and the edge.
 * @throws OnepassError `startup`, as `startUserEncoder`; the edge is closed then too
 */
export async function serveUserEncoder(
  { settings, release, edge }: { settings: EncoderRoleSettings; release: Release; edge: Edge },
  open: (host: TrunkHost) => Promise<OpenTrunk>,
): Promise<ServedUserEncoder> {
  const { logger, measurements } = edge;
  const closing: TrunkHost['closing'] = [() => edge.close()];
  // The server first, then what it uses: graph runs write to the pool's memory and die on it when it is gone.
  const close = async () => {
    for (const one of closing.splice(0).reverse()) await one();
  };
  try {
    const model = servedModel(release, await openItems(release));
    const history = await openHistory(settings);
    closing.push(() => history.close());
    const leaseOf = (person: string) => encoder.leaseOf(person);
    const { trunk, slotBytes, engine, provider, load, warm } = await open({
      ...{ release, model, logger, measurements, closing, leaseOf },
    });
    measureSlots(measurements, trunk.kv, { slots: settings.kvSlots, slotBytes });
    const head = new RetrievalHead(model, await engine.load(release.path(release.manifest.graphs.retrieveHead)));
    const encoder: UserEncoder = new UserEncoder({
      ...{ model, trunk, head, history, logger, measurements, warm },
      queryTower: await loadQueryTower(release, model, engine),
      restMs: settings.kvRestMs,
      mayUseWarmTier: () => !edge.switches.isOn('tier_off') && !edge.switches.isOn('kv_reuse_off'),
      mayReuseKv: () => !edge.switches.isOn('kv_reuse_off'),
      rememberedPersons: REMEMBERED_PER_SLOT * settings.kvSlots,
    });
    closing.push(() => encoder.idle());
    measurements.observe('onepass.inference.queued', () => load.queued);
    measurements.observe('onepass.inference.running', () => load.running);
    measurements.observe('onepass.inference.runs', () => load.started);
    const service = userEncoderService({ release, model, encoder, measurements, executionProvider: provider });
    const { host, port } = settings;
    const server = await startServer({ ...edge.server, host, port, services: [boundedStage(service, measurements)] });
    closing.push(() => server.stop(settings.drainMs));
    return { address: server.address, logger, stop: close, setServing: server.setServing };
  } catch (error) {
    await close();
    throw error;
  }
}

async function loadQueryTower(release: Release, model: ServedModel, engine: InferenceEngine) {
  const { queryTower } = release.manifest.graphs;
  const tokenizer = model.queryTokenizer;
  if (queryTower === null || tokenizer === undefined) return undefined;
  const graph = await engine.load(release.path(queryTower));
  return new QueryTower(engine, graph, { tokenizer, dimension: model.layout.itemDimension });
}

function measureSlots(
  measurements: Measurements,
  kv: KvSlots,
  { slots, slotBytes }: { readonly slots: number; readonly slotBytes: number },
): void {
  measurements.observe('onepass.kv.slots.limit', () => slots);
  measurements.observe('onepass.kv.slots.size', () => slotBytes);
  for (const state of ['free', 'filling', 'held', 'resting'] as const) {
    measurements.observe('onepass.kv.slots.usage', () => kv.stats().slots[state], { 'onepass.kv.slot.state': state });
  }
  measurements.observe('onepass.kv.slots.leased', () => kv.stats().leased);
  measurements.observe('onepass.kv.memory.limit', () => kv.stats().bytesLimit);
  measurements.observe('onepass.kv.memory.usage', () => kv.stats().bytes);
  measurements.observe('onepass.kv.allocations', () => kv.stats().allocations, {
    'onepass.kv.allocation': 'granted',
  });
  measurements.observe('onepass.kv.allocations', () => kv.stats().refusals, { 'onepass.kv.allocation': 'refused' });
  measurements.observe('onepass.kv.evictions', () => kv.stats().evictions);
  measurements.observe('onepass.kv.evictions.early', () => kv.stats().earlyEvictions);
}

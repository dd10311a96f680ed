import { describeSettings, readSettings } from '@onepass/config';
import { boundedStage, type Edge, openEdge, type RoleProgram, type RunningRole, startServer } from '@onepass/contracts';
import { createServiceEngine } from '@onepass/inference';
import { loadRelease, type Release, requireProvider } from '@onepass/release';
import type { Logger, Measurements } from '@onepass/telemetry';
import { KvDoor } from './kv-door.js';
import { RankGraph } from './rank-graph.js';
import type { Ranker } from './ranker.js';
import { rankingImplementation } from './ranking-service.js';
import { type ServedModel, servedModel } from './served-model.js';
import { type RankingRoleSettings, type RankingSettings, rankingSettings } from './settings.js';
import { SharedRanker } from './shared-ranker.js';

export const rankingProgram: RoleProgram = {
  role: 'ranking',
  summary: 'candidates scored over the KV that the user-encoder of this cell keeps',
  help: describeSettings(rankingSettings),
  start: async (env) => {
    const settings = readSettings(rankingSettings, env);
    const release = await loadRelease(settings.releaseDir);
    return startRanking(settings, release, await openEdge('ranking', settings, release.id));
  },
};

/** What a ranker is opened for. */
export interface RankerHost {
  readonly release: Release;
  readonly served: ServedModel;
  readonly logger: Logger;
  readonly measurements: Measurements;
  /** What is to be closed, the last one first, once nobody ranks any more. */
  readonly closing: (() => Promise<void> | void)[];
}

export interface ServedRanking extends RunningRole {
  /** What health answers; not serving at first. */
  setServing(serving: boolean): void;
}

/** Serves once the graph is loaded and has run. @throws OnepassError `startup`, one sentence naming the setting, file or port. */
export async function startRanking(settings: RankingSettings, release: Release, edge: Edge): Promise<RunningRole> {
  const serving = await serveRanking({ settings, release, edge }, (host) => openSharedRanker(settings, host));
  serving.setServing(true);
  return serving;
}

/**
 * The role over the ranker that `open` gives: what is closed at its end is what was put into `closing`, and the edge.
 * @throws OnepassError `startup`, as `startRanking`; the edge is closed then too
 */
export async function serveRanking(
  { settings, release, edge }: { settings: RankingRoleSettings; release: Release; edge: Edge },
  open: (host: RankerHost) => Promise<Ranker>,
): Promise<ServedRanking> {
  const { logger, measurements } = edge;
  const closing: RankerHost['closing'] = [() => edge.close()];
  const close = async () => {
    for (const one of closing.splice(0).reverse()) await one();
  };
  try {
    const served = servedModel(release);
    const ranker = await open({ release, served, logger, measurements, closing });
    const service = rankingImplementation({ served, ranker, measurements });
    const { host, port } = settings;
    const server = await startServer({ ...edge.server, host, port, services: [boundedStage(service, measurements)] });
    closing.push(() => server.stop(settings.drainMs));
    return { address: server.address, logger, stop: close, setServing: server.setServing };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The ranker of a process of its own: the release's rank graph over the pool that the cell's user-encoder keeps in shared memory. */
async function openSharedRanker(settings: RankingSettings, host: RankerHost): Promise<Ranker> {
  const { release, served, logger, measurements, closing } = host;
  const kv = new KvDoor(settings.cellDir, served);
  closing.push(() => kv.close());
  const engine = createServiceEngine(settings);
  closing.push(() => engine.close());
  requireProvider(release, engine.provider);
  const graph = await RankGraph.load(engine, release.path(release.manifest.graphs.rank), served);
  logger.info({ release: release.id, provider: engine.provider, why: engine.providerReason }, 'graph loaded');
  return new SharedRanker({ engine, graph, kv, measurements });
}

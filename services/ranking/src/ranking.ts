import { describeSettings, readSettings } from '@onepass/config';
import { boundedStage, type Edge, openEdge, type RoleProgram, type RunningRole, startServer } from '@onepass/contracts';
import { createEngine, endOnLostDevice } from '@onepass/inference';
import { loadRelease, type Release, requireProvider } from '@onepass/release';
import { KvDoor } from './kv-door.js';
import { RankGraph } from './rank-graph.js';
import { rankingImplementation } from './ranking-service.js';
import { servedModel } from './served-model.js';
import { type RankingSettings, rankingSettings } from './settings.js';

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

/** Serves once the graph is loaded and has run. @throws OnepassError `startup`, one sentence naming the setting, file or port. */
export async function startRanking(settings: RankingSettings, release: Release, edge: Edge): Promise<RunningRole> {
  const served = servedModel(release);
  const { logger, measurements } = edge;
  const engine = createEngine({
    provider: settings.executionProvider,
    libraryDirectory: settings.onnxruntimeDir,
    onLost: endOnLostDevice,
    inFlight: settings.inferenceInFlight,
    threads: settings.inferenceThreads,
  });
  const kv = new KvDoor(settings.cellDir, served);
  const close = async () => {
    await engine.close();
    kv.close();
    await edge.close();
  };
  try {
    requireProvider(release, engine.provider);
    const graph = await RankGraph.load(engine, release.path(release.manifest.graphs.rank), served);
    const service = rankingImplementation({ served, engine, graph, kv, measurements });
    const { host, port } = settings;
    const server = await startServer({ ...edge.server, host, port, services: [boundedStage(service, measurements)] });
    logger.info({ release: release.id, provider: engine.provider, why: engine.providerReason }, 'graph loaded');
    server.setServing(true);
    return {
      address: server.address,
      logger,
      stop: async () => {
        await server.stop(settings.drainMs);
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

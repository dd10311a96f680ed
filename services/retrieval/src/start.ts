import { describeSettings, readSettings } from '@onepass/config';
import { boundedStage, openEdge, type RoleProgram, type RunningRole, startServer } from '@onepass/contracts';
import { loadRelease } from '@onepass/release';
import { usearchRows } from '@onepass/vectors';
import { openServedIndex } from './served-index.js';
import { retrievalService } from './service.js';
import { type RetrievalSettings, retrievalSettings } from './settings.js';

/** The role as a program; main.ts runs it. */
export const retrievalProgram: RoleProgram = {
  role: 'retrieval',
  summary: 'answers candidates and their embeddings from the shards of one release.',
  help: describeSettings(retrievalSettings),
  start: async (env) => startRetrieval(readSettings(retrievalSettings, env)),
};

/**
 * The root and all leaves of one release, in one process.
 * @throws OnepassError `startup`: one sentence naming the setting, file or port.
 */
export async function startRetrieval(settings: RetrievalSettings): Promise<RunningRole> {
  const release = await loadRelease(settings.releaseDir);
  const edge = await openEdge('retrieval', settings, release.id);
  const { logger, measurements } = edge;
  const index = await openServedIndex(release, {
    rowSearch: usearchRows,
    logger,
    measurements,
    faults: edge.server.faults,
  });
  const server = await startServer({
    ...edge.server,
    host: settings.host,
    port: settings.port,
    services: [boundedStage(retrievalService(index, measurements), measurements)],
  });
  server.setServing(true);
  return {
    address: server.address,
    logger,
    stop: async () => {
      await server.stop(settings.drainMs);
      await edge.close();
    },
  };
}

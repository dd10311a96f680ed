import { describeSettings, readSettings } from '@onepass/config';
import { type RoleProgram, type RunningRole, startServer } from '@onepass/contracts';
import { loadRelease } from '@onepass/release';
import { createLogger, Measurements, measureEventLoop } from '@onepass/telemetry';
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
  const logger = createLogger('retrieval', settings.logLevel);
  const measurements = new Measurements();
  measureEventLoop(measurements);
  const release = await loadRelease(settings.releaseDir);
  const index = await openServedIndex(release, { rowSearch: usearchRows, logger, measurements });
  const server = await startServer({
    role: 'retrieval',
    host: settings.host,
    port: settings.port,
    services: [retrievalService(index, measurements)],
    logger,
    measurements,
  });
  server.setServing(true);
  return { address: server.address, logger, stop: () => server.stop(settings.drainMs) };
}

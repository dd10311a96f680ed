import { join } from 'node:path';
import { describeSettings, readSettings } from '@onepass/config';
import {
  type Edge,
  EventService,
  gatewayCatalog,
  type Implementation,
  implement,
  openEdge,
  RecommendationService,
  type RoleProgram,
  type RunningRole,
  retrieval,
  startServer,
} from '@onepass/contracts';
import { openLmdbHistory } from '@onepass/history';
import { Cells } from './cells.js';
import { describe } from './describe.js';
import { logActions } from './events/log-actions.js';
import { getItems } from './get-items.js';
import { keptPageTokenKey } from './page-token-key.js';
import { Recommender, type RecommenderParts } from './recommend/recommend.js';
import { RememberedSlates } from './remembered-slates.js';
import { loadServedRelease, type ServedRelease } from './served-release.js';
import { type GatewaySettings, gatewaySettings } from './settings.js';

export const gatewayProgram: RoleProgram = {
  role: 'gateway',
  summary: 'the front door: ranked pages, action logs, items',
  help: describeSettings(gatewaySettings),
  start: async (env) => {
    const settings = readSettings(gatewaySettings, env);
    const release = await loadServedRelease(settings.releaseDir);
    return startGateway(settings, release, await openEdge('gateway', settings));
  },
};

/** @throws OnepassError `startup`, one sentence naming the setting, file or port. */
export async function startGateway(
  settings: GatewaySettings,
  release: ServedRelease,
  edge: Edge,
): Promise<RunningRole> {
  const pageTokenKey = settings.pageTokenKey ?? (await keptPageTokenKey(settings.dataDir));
  const history = openLmdbHistory(join(settings.dataDir, 'history'));
  const { logger, measurements } = edge;
  const cells = new Cells(settings.cells, edge.connect);
  const toRetrieval = edge.connect(settings.retrieval);
  const close = async () => {
    cells.close();
    toRetrieval.close();
    await history.close();
    await edge.close();
  };
  const remembered = new RememberedSlates();
  measurements.observe('onepass.slates.remembered', () => remembered.size);
  const backend: RecommenderParts = {
    release,
    history,
    cells,
    retrieval: toRetrieval.client(retrieval.RetrievalService),
    remembered,
    pageTokenKey,
    budgetMs: settings.budgetMs,
    logger,
    measurements,
  };
  const { host, port } = settings;
  const options = { ...edge.server, host, port, services: services(backend) };
  const server = await startServer(options).catch(async (error) => {
    await close();
    throw error;
  });
  // Without a backend there are degraded pages: readiness is the gateway's own.
  server.setServing(true);
  return {
    address: server.address,
    logger,
    stop: async () => {
      await server.stop(settings.drainMs);
      await close();
    },
  };
}

function services(backend: RecommenderParts): Implementation[] {
  const { release, history, measurements } = backend;
  const recommender = new Recommender(backend);
  return [
    implement(RecommendationService, {
      recommend: (request, call) => recommender.recommend(request, call),
      describe: () => describe(release, measurements),
    }),
    implement(
      EventService,
      { logActions: (request, { span }) => logActions(request, history, release, { measurements, span }) },
      {
        unserved: {
          logSlate: 'LogSlate is not served yet: give slate_id and position with the actions',
          forgetPerson: 'ForgetPerson is not served yet',
        },
      },
    ),
    implement(
      gatewayCatalog.CatalogService,
      { getItems: (request, call) => getItems(request, call, backend) },
      {
        unserved: {
          upsertItems: 'UpsertItems is not served yet: items change with the release',
          deleteItems: 'DeleteItems is not served yet: items change with the release',
        },
      },
    ),
  ];
}

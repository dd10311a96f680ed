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
import { openStores, type SlateStore } from '@onepass/history';
import { openCells } from './cells/open-cells.js';
import { describe } from './describe.js';
import { forgetPerson } from './events/forget-person.js';
import { logActions } from './events/log-actions.js';
import { unlessReadOnly } from './events/read-only.js';
import { getItems } from './get-items.js';
import { boundedCalls, pageAdmission, retryBudget } from './load.js';
import { keptPageTokenKey } from './page-token-key.js';
import { Recommender, type RecommenderParts } from './recommend/recommend.js';
import { RememberedSlates } from './remembered-slates.js';
import { loadServedRelease, type ServedRelease } from './served-release.js';
import { checkGatewaySettings, type GatewaySettings, gatewaySettings } from './settings.js';
import { logSlate } from './slates/log-slate.js';
import { keepRetention } from './slates/retention.js';
import { SlateWriter } from './slates/slate-writer.js';

export const gatewayProgram: RoleProgram = {
  role: 'gateway',
  summary: 'the front door: ranked pages, action logs, items',
  help: describeSettings(gatewaySettings),
  start: async (env) => {
    const settings = readSettings(gatewaySettings, env);
    checkGatewaySettings(settings);
    const release = await loadServedRelease(settings.releaseDir);
    return startGateway(settings, release, await openEdge('gateway', settings, release.id));
  },
};

/** @throws OnepassError `startup`, one sentence naming the setting, file or port. */
export async function startGateway(
  settings: GatewaySettings,
  release: ServedRelease,
  edge: Edge,
): Promise<RunningRole> {
  const pageTokenKey = settings.pageTokenKey ?? (await keptPageTokenKey(settings.dataDir));
  const { history, slates } = await openStores(settings);
  const { logger, measurements } = edge;
  const { cells, close: closeCells } = openCells(settings, edge);
  const toRetrieval = edge.connect(settings.retrieval);
  const slateWriter = new SlateWriter({ store: slates, logger, measurements });
  const closing = new AbortController();
  const close = async () => {
    closing.abort();
    closeCells();
    toRetrieval.close();
    await slateWriter.stop(SLATE_PATIENCE_MS);
    await Promise.all([history.close(), slates.close()]);
    await edge.close();
  };
  const remembered = new RememberedSlates();
  measurements.observe('onepass.slates.remembered', () => remembered.size);
  const backend: Backend = {
    release,
    history,
    slates,
    slateWriter,
    recordSlate: settings.slates === 'on' ? (slate, startedMs) => slateWriter.offer(slate, startedMs) : undefined,
    cells,
    retrieval: toRetrieval.client(retrieval.RetrievalService),
    remembered,
    pageTokenKey,
    budgetMs: settings.budgetMs,
    admission: pageAdmission(settings.budgetMs, measurements),
    retries: retryBudget(measurements),
    switches: edge.switches,
    logger,
    measurements,
  };
  const { host, port } = settings;
  const served = services(backend).map(unlessReadOnly(edge.switches)).map(boundedCalls(measurements));
  const options = { ...edge.server, host, port, services: served };
  const server = await startServer(options).catch(async (error) => {
    await close();
    throw error;
  });
  void keepRetention(slates, settings.slateDays, closing.signal, edge);
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

/** How long the slates that wait at the end may take. */
const SLATE_PATIENCE_MS = 2_000;

interface Backend extends RecommenderParts {
  readonly slates: SlateStore;
  readonly slateWriter: SlateWriter;
}

function services(backend: Backend): Implementation[] {
  const { release, history, measurements } = backend;
  const recommender = new Recommender(backend);
  return [
    implement(RecommendationService, {
      recommend: (request, call) => recommender.recommend(request, call),
      describe: () => describe(release, measurements),
    }),
    implement(EventService, {
      logActions: (request, { span }) => logActions(request, history, release, { measurements, span }),
      logSlate: (request) => logSlate(request, backend),
      forgetPerson: (request, call) => forgetPerson(request, call, backend),
    }),
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

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '@onepass/config';
import {
  connectTo,
  EventService,
  edgeSettings,
  gatewayCatalog,
  openEdge,
  RecommendationService,
  type RecommendResponse,
} from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import type { CellLine } from '@onepass/routing';
import { startGateway } from '../gateway.js';
import { type GatewaySettings, gatewaySettings } from '../settings.js';
import { EncoderStage, RankingStage, RetrievalStage } from './stages.js';
import { RELEASE } from './world.js';

export const user = (id: string) => ({ id: { case: 'userId', value: id } }) as const;

export const cellLine = (encoder: string, ranking: string, more: Partial<CellLine> = {}): CellLine => ({
  name: encoder,
  encoder,
  ranking,
  state: 'serving',
  ...more,
});

/** A gateway in front of stage servers that tests steer; real gRPC, real LMDB, nothing of the gateway's replaced. */
export async function startMesh(settings: Partial<GatewaySettings> = {}, release = RELEASE) {
  const [encoder, retrieval, ranking] = [new EncoderStage(), new RetrievalStage(), new RankingStage()];
  await Promise.all([encoder.begin(), retrieval.begin(), ranking.begin()]);
  const dataDir = await mkdtemp(join(tmpdir(), 'onepass-gateway-'));
  const gateway = await startGateway(
    {
      ...readSettings(gatewaySettings, { ONEPASS_RELEASE_DIR: 'none', ONEPASS_DATA_DIR: dataDir }),
      port: 0,
      cells: [cellLine(encoder.server.address, ranking.server.address)],
      retrieval: retrieval.server.address,
      budgetMs: 10_000,
      pageTokenKey: Buffer.alloc(32, 1),
      drainMs: 0,
      ...settings,
    },
    release,
    await openEdge('gateway', readSettings(edgeSettings, { ONEPASS_LOG_LEVEL: 'silent' })),
  );
  const connection = connectTo(gateway.address);
  let stopped: Promise<void> | undefined;
  const stopGateway = () => {
    connection.close();
    stopped ??= gateway.stop();
    return stopped;
  };
  return {
    address: gateway.address,
    dataDir,
    encoder,
    retrieval,
    ranking,
    recommendation: connection.client(RecommendationService),
    events: connection.client(EventService),
    catalog: connection.client(gatewayCatalog.CatalogService),
    /** Drains it: what it does behind its answers is done. */
    stopGateway,
    stop: async () => {
      await stopGateway();
      await Promise.all([encoder, retrieval, ranking].map((stage) => stage.stop()));
      await rm(dataDir, { recursive: true });
    },
  };
}

export type Mesh = Awaited<ReturnType<typeof startMesh>>;

export const idsOf = (page: RecommendResponse) => page.items.map((item) => item.itemId);

/** Kind and sentence of the error that a call rejects with. */
export async function errorOf(call: Promise<unknown>): Promise<[string, string]> {
  const error = await call.then(
    () => new Error('the call succeeded'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OnepassError)) throw error;
  return [error.kind, error.message];
}

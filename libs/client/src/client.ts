import {
  type ClientTls,
  connectTo,
  EventService,
  gatewayCatalog,
  openClientTls,
  PLAINTEXT,
  RecommendationService,
  type ServiceClient,
} from '@onepass/contracts';

export type {
  CallOptions,
  ClientTls,
  DescribeResponse,
  EventResult,
  LogActionsResponse,
  PageItem,
  RecommendResponse,
} from '@onepass/contracts';
export { Degraded_Reason, EventResult_Status, KvSource, Mode, Operation, View } from '@onepass/contracts';
export { OnepassError } from '@onepass/errors';
export { fromTraceparent } from '@onepass/telemetry';

type Recommendation = ServiceClient<typeof RecommendationService>;
type Events = ServiceClient<typeof EventService>;
type Catalog = ServiceClient<typeof gatewayCatalog.CatalogService>;

/**
 * What frontends call. Every call takes `{ signal, deadlineMs, span }` (epoch milliseconds; without one the gateway's own time budget
 * holds; `fromTraceparent(header)` makes the mesh go on with the frontend's trace) and rejects with an OnepassError only: its `kind` says what happened, `detail.violations` which fields are wrong.
 */
export interface OnepassClient {
  /** One ranked page. Give `requestId` to be able to retry: a repeat within 10 minutes is answered with the same slate. */
  readonly recommend: Recommendation['recommend'];
  /** Actions of one person, durable when this resolves; `results` says per event what became of it. */
  readonly logActions: Events['logActions'];
  /** What became of a page that was served (or, `foreign`, of one that somebody else served); durable when this resolves. */
  readonly logSlate: Events['logSlate'];
  /** Drops all there is of a person. May be repeated; rejects as `unavailable` while not all of it is done. */
  readonly forgetPerson: Events['forgetPerson'];
  /** Items of the release in force, by id. */
  readonly getItems: Catalog['getItems'];
  /** Release, actions, surfaces, attributes and limits. */
  readonly describe: Recommendation['describe'];
  /** Ends the connection; calls in flight fail. */
  close(): void;
}

export interface ConnectOptions {
  /** Absent: plaintext. */
  readonly tls?: ClientTls | undefined;
}

/**
 * A client of the gateway at `address` (host:port). Connects on the first call and again after a loss: make one per process.
 * @throws OnepassError `startup` naming the file of `tls` that cannot be used
 *
 * @example
 * const onepass = connect('127.0.0.1:50050');
 * const page = await onepass.recommend({ person: user('u1'), surface: 'home', pageSize: 10 });
 * const [first] = page.items;
 * await onepass.logActions({
 *   person: user('u1'),
 *   events: [{ eventId: crypto.randomUUID(), itemId: first.itemId, actions: ['click'], surface: 'home', slateId: page.slateId }],
 * });
 */
export function connect(address: string, { tls }: ConnectOptions = {}): OnepassClient {
  const transport = tls === undefined ? PLAINTEXT : openClientTls(tls);
  const connection = connectTo(address, { transport });
  const recommendation = connection.client(RecommendationService);
  const events = connection.client(EventService);
  return {
    recommend: recommendation.recommend,
    describe: recommendation.describe,
    logActions: events.logActions,
    logSlate: events.logSlate,
    forgetPerson: events.forgetPerson,
    getItems: connection.client(gatewayCatalog.CatalogService).getItems,
    close: () => {
      connection.close();
      transport.close();
    },
  };
}

/** The person of a user id, at most 128 bytes. */
export function user(id: string) {
  return { id: { case: 'userId', value: id } } as const;
}

/** The person of a visitor id, at most 128 bytes; another one than the user of the same id. */
export function visitor(id: string) {
  return { id: { case: 'visitorId', value: id } } as const;
}

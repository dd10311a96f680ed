import { once } from 'node:events';
import type { MessageShape } from '@bufbuild/protobuf';
import {
  type AttributeFilter,
  type Degraded_Reason,
  EmbeddingType,
  type EncodeRequest,
  type ForgetRequest,
  type Implementation,
  implement,
  KvSource,
  packColumn,
  RankingService,
  type RankRequest,
  type RequestContext,
  type RunningServer,
  retrieval,
  type ServerCall,
  startServer,
  UserEncoderService,
  unpackUint32,
} from '@onepass/contracts';
import { encodeEmbeddings } from '@onepass/embeddings';
import { Measurements, silentLogger } from '@onepass/telemetry';
import {
  DIMENSION,
  embeddingsOf,
  ITEMS,
  itemOf,
  POPULAR,
  probabilitiesOf,
  RELEASE,
  RELEASE_ID,
  type WorldItem,
} from './world.js';

type SearchRequest = MessageShape<typeof retrieval.SearchRequestSchema>;
type GetItemsRequest = MessageShape<typeof retrieval.GetItemsRequestSchema>;

/** A stage as a real gRPC server of its own, whose behaviour a test can change while it runs. */
export class Stage<Request> {
  readonly requests: Request[] = [];
  /** Runs before each answer: may throw, or wait on the call. */
  before: (request: Request, call: ServerCall) => Promise<void> | void = () => {};
  server!: RunningServer;

  async start(role: string, service: Implementation, port = 0): Promise<void> {
    const telemetry = { logger: silentLogger, measurements: new Measurements() };
    this.server = await startServer({ role, host: '127.0.0.1', port, services: [service], ...telemetry });
    this.server.setServing(true);
  }

  async take(request: Request, call: ServerCall): Promise<void> {
    this.requests.push(request);
    await this.before(request, call);
  }

  /** From now on takes requests and answers none until the caller gives up. */
  hang(): void {
    this.before = async (_, call) => {
      await once(call.signal, 'abort');
      throw call.signal.reason;
    };
  }

  fail(error: Error): void {
    this.before = () => {
      throw error;
    };
  }

  /** The last request taken. */
  get last(): Request {
    const request = this.requests.at(-1);
    if (request === undefined) throw new Error('no request came');
    return request;
  }

  async stop(): Promise<void> {
    await this.server.stop(0);
  }
}

/** The user-encoder: answers what `seen` and `kv` say. */
export class EncoderStage extends Stage<EncodeRequest> {
  seen: string[] = [];
  generation = 1n;
  historySequence = 7n;
  degraded: { reason: Degraded_Reason; detail: string }[] = [];
  releaseId = RELEASE_ID;
  poolId = '';
  /** What it makes of any text. */
  readonly textEmbedding = encodeEmbeddings(Float32Array.of(0, 0.6, 0.8, 0), DIMENSION, EmbeddingType.F32);
  /** Ids of persons it was told to forget. */
  readonly forgotten: (string | undefined)[] = [];
  /** May throw, or wait on the call. */
  beforeForget: (call: ServerCall) => Promise<void> | void = () => {};

  #contextOf({ surface, nowMs, features, embeddings }: RequestContext, queryText: string) {
    const known = queryText === '' ? embeddings : this.textEmbedding;
    return { surface, nowMs, features, ...(known && { embeddings: known }), previousMs: 5n };
  }

  begin(): Promise<void> {
    const encode = async (request: EncodeRequest, call: ServerCall) => {
      await this.take(request, call);
      const length = this.seen.length;
      const kv = {
        releaseId: this.releaseId,
        poolId: this.poolId,
        length,
        generation: this.generation,
        historySequence: this.historySequence,
        historyHash: 9n,
      };
      const rows = new Float32Array(request.queries.length * DIMENSION).fill(0.5);
      return {
        kv,
        kvSource: KvSource.APPEND,
        degraded: this.degraded,
        queries: encodeEmbeddings(rows, DIMENSION, EmbeddingType.F32),
        seenRows: packColumn(Uint32Array.from(this.seen, (id) => RELEASE.rows.get(id)!)),
        ...(request.context && { context: this.#contextOf(request.context, request.queryText) }),
      };
    };
    const forget = async ({ person }: ForgetRequest, call: ServerCall) => {
      await this.beforeForget(call);
      this.forgotten.push(person?.id.value);
      return {};
    };
    return this.start('user-encoder', implement(UserEncoderService, { encode, forget }));
  }
}

/** Retrieval: items in order of id, or popular ones, under filters and exclusions; every other one by the second query. */
export class RetrievalStage extends Stage<SearchRequest | GetItemsRequest> {
  coverage = { shardsTotal: 2, shardsAnswered: 2 };
  releaseId = RELEASE_ID;
  items = ITEMS;

  begin(): Promise<void> {
    const { RetrievalService } = retrieval;
    return this.start(
      'retrieval',
      implement(RetrievalService, {
        search: async (request, call) => {
          await this.take(request, call);
          return this.#search(request);
        },
        getItems: async (request, call) => {
          await this.take(request, call);
          return getItems(request);
        },
      }),
    );
  }

  #search(request: SearchRequest) {
    const excluded = excludedBy(request);
    const from = request.popularSurface === '' ? this.items : POPULAR;
    const failing = (item: WorldItem) => request.filters.findIndex((filter) => !passes(item, [filter]));
    const refused = (item: WorldItem) => excluded.has(item.id) || failing(item) >= 0;
    const found = from.filter((item) => !refused(item)).slice(0, request.limit);
    const kept = request.explain ? [...from.slice(0, request.limit).entries()].filter(([, item]) => refused(item)) : [];
    const candidates = {
      itemRows: packColumn(Uint32Array.from(found, (item) => RELEASE.rows.get(item.id)!)),
      embeddings: embeddingsOf(found),
      innerProducts: packColumn(Float32Array.from(found, (_, i) => 1 - i / 128)),
      queryRows: packColumn(Uint32Array.from(found, (_, i) => i % Math.max(1, request.budgets.length))),
      queryRanks: packColumn(Uint32Array.from(found, (_, i) => Math.floor(i / Math.max(1, request.budgets.length)))),
      attributes:
        request.attributes.length === 0
          ? []
          : found.map((item) => ({ values: attributesOf(item, request.attributes) })),
    };
    return {
      candidates,
      coverage: this.coverage,
      releaseId: this.releaseId,
      mergedInto: request.budgets.map((_, i) => i),
      keptOut: kept.map(([rank, item]) => ({
        itemId: item.id,
        score: 1 - rank / 128,
        rank,
        ...(!excluded.has(item.id) && { filterIndex: failing(item) }),
      })),
    };
  }
}

function getItems(request: GetItemsRequest) {
  const known = request.itemIds.flatMap((id) => itemOf(id) ?? []);
  const kept = known.filter((item) => passes(item, request.filters));
  return {
    items: kept.map((item) => ({
      id: item.id,
      title: `About ${item.topic}`,
      attributes: attributesOf(item, ['topic', 'price']),
    })),
    embeddings: embeddingsOf(kept),
    missingItemIds: request.itemIds.filter((id) => itemOf(id) === undefined),
    filteredItemIds: known.filter((item) => !kept.includes(item)).map((item) => item.id),
    filterIndices: known
      .filter((item) => !kept.includes(item))
      .map((item) => request.filters.findIndex((filter) => !passes(item, [filter]))),
  };
}

function attributesOf(item: WorldItem, names: readonly string[]) {
  const topic = { kind: { case: 'text' as const, value: item.topic } };
  const price = { kind: { case: 'number' as const, value: item.price } };
  return Object.fromEntries(names.map((name) => [name, name === 'topic' ? topic : price]));
}

function passes(item: WorldItem, filters: readonly AttributeFilter[]): boolean {
  return filters.every(({ condition }) => {
    if (condition.case === 'anyOf') return condition.value.values.includes(item.topic);
    if (condition.case === 'noneOf') return !condition.value.values.includes(item.topic);
    const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = condition.value ?? {};
    return item.price >= minimum && item.price <= maximum;
  });
}

/** Ranking: P(click) grows with the item's number, so that it turns retrieval's order around. */
export class RankingStage extends Stage<RankRequest> {
  releaseId = RELEASE_ID;
  /** Items whose numbers are made NaN, by their place among the candidates. */
  broken: number[] = [];

  begin(): Promise<void> {
    return this.start(
      'ranking',
      implement(RankingService, {
        rank: async (request, call) => {
          await this.take(request, call);
          return this.#rank(request);
        },
      }),
    );
  }

  #rank(request: RankRequest) {
    const probabilities = probabilitiesOf(request.candidates);
    const weights = RELEASE.actions.map(({ name, utilityWeight }) => request.utilityWeights[name] ?? utilityWeight);
    const utilities = Float32Array.from({ length: probabilities.length / 2 }, (_, i) =>
      this.broken.includes(i)
        ? Number.NaN
        : weights[0]! * probabilities[2 * i]! + weights[1]! * probabilities[2 * i + 1]!,
    );
    return {
      probabilities: new Uint8Array(probabilities.buffer),
      utilities: new Uint8Array(utilities.buffer),
      actions: RELEASE.actions.map((action) => action.name),
      kvSource: request.kvSource,
      releaseId: this.releaseId,
    };
  }
}

/** Ids of all items that a search may not bring. */
export function excludedBy({
  excludedItemIds,
  excludedRows,
}: Pick<SearchRequest, 'excludedItemIds' | 'excludedRows'>): ReadonlySet<string> {
  const byRow = Array.from(unpackUint32(excludedRows, 'excluded_rows'), (row) => ITEMS[row]!.id);
  return new Set([...excludedItemIds, ...byRow]);
}

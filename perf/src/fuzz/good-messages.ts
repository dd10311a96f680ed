import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type Connection,
  connectTo,
  EncodeRequestSchema,
  EventService,
  gatewayCatalog,
  LogActionsRequestSchema,
  LogSlateRequestSchema,
  Mode,
  methodPath,
  RankingService,
  RankRequestSchema,
  RecommendationService,
  RecommendRequestSchema,
  retrieval,
  UserEncoderService,
  View,
} from '@onepass/contracts';
import type { Mesh } from '@onepass/local';

const PERSON = { id: { case: 'userId', value: 'fuzz-warm' } } as const;
const FILTER = {
  attribute: 'category',
  condition: { case: 'anyOf' as const, value: { values: ['ceramics'] } },
};
const BUDGETS = [
  { outcome: 'any', share: 0.5, offsetMs: 0n },
  { outcome: 'save', share: 0.5, offsetMs: 60_000n },
];

/** Requests that a mesh on the smoke release answers well, by method path: what hostile ones are made of. */
export async function goodMessages(mesh: Mesh): Promise<Map<string, Uint8Array[]>> {
  const toRole = (role: string) => connectTo(mesh.address(role));
  const [gateway, encoder, toRetrieval] = [toRole('gateway'), toRole('user-encoder'), toRole('retrieval')];
  try {
    return await messagesOf(gateway, encoder, toRetrieval);
  } finally {
    for (const connection of [gateway, encoder, toRetrieval]) connection.close();
  }
}

async function messagesOf(
  gateway: Connection,
  encoder: Connection,
  toRetrieval: Connection,
): Promise<Map<string, Uint8Array[]>> {
  const event = { itemId: 'i00010', actions: ['click'], surface: 'home', slateId: 'slate', position: 3 };
  const logged = { person: PERSON, events: ['a', 'b', 'c'].map((eventId) => ({ ...event, eventId })) };
  await gateway.client(EventService).logActions(logged);
  const { releaseId, requestFeatures } = await gateway.client(RecommendationService).describe({});
  const features = Object.fromEntries(requestFeatures.map((name) => [name, 0.5]));
  const context = { surface: 'home', nowMs: BigInt(Date.now()), features };
  const encode = { releaseId, person: PERSON, context, queries: BUDGETS.map(({ outcome }) => ({ outcome })) };
  const encoded = await encoder.client(UserEncoderService).encode(encode);
  const search = {
    releaseId,
    ...(encoded.queries && { queries: encoded.queries }),
    budgets: BUDGETS,
    limit: 50,
    excludedItemIds: ['i00001'],
    excludedRows: encoded.seenRows,
    filters: [FILTER],
    attributes: ['category'],
    explain: true,
  };
  const found = await toRetrieval.client(retrieval.RetrievalService).search(search);
  const rank = {
    ...(encoded.kv && { kv: encoded.kv }),
    ...(encoded.context && { context: encoded.context }),
    ...(found.candidates?.embeddings && { candidates: found.candidates.embeddings }),
    utilityWeights: { click: 1, hide: -2 },
  };
  const embedding = {
    values: new Uint8Array(Float32Array.from({ length: 16 }, () => 0.25).buffer),
    type: 1,
    dimension: 16,
  };
  const page = { person: PERSON, surface: 'home', pageSize: 5, candidates: 40, features };
  const slate = { person: PERSON, slateId: 'foreign', surface: 'home', foreign: true, features: { mood: -0.5 } };

  const { GetItemsRequestSchema, UpsertItemsRequestSchema, DeleteItemsRequestSchema } = retrieval;
  const messages = new Map<string, Uint8Array[]>();
  const add = <T extends DescMessage>(
    method: Parameters<typeof methodPath>[0],
    type: T,
    ...inits: MessageInitShape<T>[]
  ) => {
    messages.set(
      methodPath(method),
      inits.map((init) => toBinary(type, create(type, init))),
    );
  };
  add(
    RecommendationService.method.recommend,
    RecommendRequestSchema,
    { ...page, filters: [FILTER], excludedItemIds: ['i00002'], outcomeBudgets: BUDGETS, view: View.EXPLAIN },
    {
      ...page,
      requestId: 'again',
      utilityWeights: { click: 2 },
      diversity: { windows: [{ attribute: 'category', window: 3, maximum: 1 }] },
    },
    { ...page, surface: 'related', context: { case: 'related', value: { itemIds: ['i00003', 'i00004'] } } },
    {
      ...page,
      surface: 'search',
      context: { case: 'search', value: { query: { case: 'embedding', value: embedding } } },
      mode: Mode.RETRIEVE_ONLY,
    },
    { ...page, surface: 'search', context: { case: 'search', value: { query: { case: 'text', value: 'teal vase' } } } },
    {
      ...page,
      candidates: 0,
      mode: Mode.SCORE_ONLY,
      externalCandidates: [{ itemId: 'i00005' }, { itemId: 'mine', embedding }],
    },
  );
  add(EventService.method.logActions, LogActionsRequestSchema, logged);
  add(EventService.method.logSlate, LogSlateRequestSchema, {
    ...slate,
    items: [{ itemId: 'i00006', position: 0, visible: true, actions: ['click'] }],
  });
  add(EventService.method.forgetPerson, EventService.method.forgetPerson.input, {
    person: { id: { case: 'visitorId', value: 'fuzz-gone' } },
  });
  add(gatewayCatalog.CatalogService.method.getItems, gatewayCatalog.GetItemsRequestSchema, {
    itemIds: ['i00007', 'none'],
  });
  add(UserEncoderService.method.encode, EncodeRequestSchema, encode, {
    ...encode,
    context: { ...context, surface: 'related' },
    relatedItemIds: ['i00008'],
  });
  add(retrieval.RetrievalService.method.search, retrieval.SearchRequestSchema, search, {
    releaseId,
    popularSurface: 'home',
    limit: 20,
    filters: [FILTER],
  });
  add(retrieval.RetrievalService.method.getItems, GetItemsRequestSchema, {
    releaseId,
    itemIds: ['i00009', 'none'],
    withEmbeddings: true,
    filters: [FILTER],
  });
  const item = {
    id: 'i00400',
    title: 'vase',
    attributes: { category: { kind: { case: 'text', value: 'ceramics' } } },
  } as const;
  add(retrieval.RetrievalService.method.upsertItems, UpsertItemsRequestSchema, { items: [item] });
  add(retrieval.RetrievalService.method.deleteItems, DeleteItemsRequestSchema, { itemIds: ['none'] });
  add(RankingService.method.rank, RankRequestSchema, rank, { ...rank, kv: { releaseId } });
  return messages;
}

import { ALL, type Role, RPC_METHODS, type RpcMethod } from './methods.js';

export type AttributeType = 'string' | 'int' | 'double' | 'boolean';

export interface SpanSpec {
  readonly roles: readonly Role[];
  readonly says: string;
  /** The spans it may be inside. */
  readonly parents: readonly string[];
  /** Beside `error.type`, the kind of the error that it ended with, which any span may have. */
  readonly attributes: Readonly<Record<string, AttributeType>>;
  /** Absent: in every whole page of a person whose KV is held. */
  readonly when?: string;
}

const RECOMMEND = 'onepass.gateway.v1.RecommendationService/Recommend';
const LOG_ACTIONS = 'onepass.gateway.v1.EventService/LogActions';
const ENCODE = 'onepass.encoder.v1.UserEncoderService/Encode';
const SEARCH = 'onepass.retrieval.v1.RetrievalService/Search';
const RANK = 'onepass.ranking.v1.RankingService/Rank';

/** Spans inside a process. Those of calls are named by their methods: see RPC_SPAN and CALLED_FROM. */
export const SPANS = {
  encode: {
    roles: ['gateway'],
    says: 'The stage that brings the KV up to date and gets query embeddings; a second one after a KV miss.',
    parents: [RECOMMEND],
    attributes: {},
  },
  look_up: {
    roles: ['gateway'],
    says: 'External candidates are looked up, while the encoder is at work.',
    parents: [RECOMMEND],
    attributes: {},
    when: 'the request has external candidates',
  },
  retrieve: {
    roles: ['gateway'],
    says: 'The stage that gets candidates.',
    parents: [RECOMMEND],
    attributes: {},
  },
  rank: {
    roles: ['gateway'],
    says: 'The stage that scores candidates.',
    parents: [RECOMMEND],
    attributes: {},
  },
  page: {
    roles: ['gateway'],
    says: 'The page is built.',
    parents: [RECOMMEND],
    attributes: {},
  },
  append_history: {
    roles: ['gateway'],
    says: 'Events are written to the history store, until durable.',
    parents: [LOG_ACTIONS],
    attributes: { 'onepass.events': 'int' },
    when: 'events are logged',
  },
  person_queue: {
    roles: ['user-encoder'],
    says: 'Waiting for another encode of the same person.',
    parents: [ENCODE],
    attributes: {},
  },
  read_history: {
    roles: ['user-encoder'],
    says: 'What is new of the history is read.',
    parents: [ENCODE],
    attributes: {},
  },
  restore_kv: {
    roles: ['user-encoder'],
    says: 'The warm tier is asked for the person’s KV, and what it has is brought into a slot.',
    parents: [ENCODE],
    attributes: {},
    when: 'there is a warm tier and the person has no slot',
  },
  allocate_slot: {
    roles: ['user-encoder'],
    says: 'Waiting for a KV slot, or for more room in one.',
    parents: [ENCODE],
    attributes: {},
    when: 'the KV is computed anew, or there is no room to append',
  },
  inference_queue: {
    roles: ['user-encoder', 'ranking'],
    says: 'A graph run waits for its turn.',
    parents: [ENCODE, RANK],
    attributes: { 'onepass.graph': 'string' },
  },
  inference_run: {
    roles: ['user-encoder', 'ranking'],
    says: 'A graph runs.',
    parents: [ENCODE, RANK],
    attributes: { 'onepass.graph': 'string' },
  },
  search_shard: {
    roles: ['retrieval'],
    says: 'One shard is searched.',
    parents: [SEARCH],
    attributes: { 'onepass.shard': 'int' },
  },
  merge: {
    roles: ['retrieval'],
    says: 'What the shards found is merged, by outcome budgets.',
    parents: [SEARCH],
    attributes: {},
  },
  check_kv: {
    roles: ['ranking'],
    says: 'The KV is found in the pool and checked before it is read.',
    parents: [RANK],
    attributes: { 'onepass.kv.tokens': 'int' },
  },
  encode_message: {
    roles: ALL,
    says: 'A call’s message is written: the request at its client, the answer at its server.',
    parents: RPC_METHODS,
    attributes: {},
    when: 'the message is not in bytes already',
  },
  decode_message: {
    roles: ALL,
    says: 'A call’s message is read: the request at its server, the answer at its client.',
    parents: RPC_METHODS,
    attributes: {},
  },
} as const satisfies Readonly<Record<string, SpanSpec>>;

export type SpanName = keyof typeof SPANS;

/** Attributes of server and client spans of calls. */
export const RPC_SPAN = {
  'rpc.system.name': 'string',
  'rpc.method': 'string',
  'rpc.response.status_code': 'string',
} as const satisfies Readonly<Record<string, AttributeType>>;

/** What the server span of Recommend has beside those. */
export const RECOMMEND_SPAN = {
  'onepass.surface': 'string',
  'onepass.items': 'int',
  'onepass.kv.source': 'string',
  'onepass.degraded': 'string',
} as const satisfies Readonly<Record<string, AttributeType>>;

/** The spans from which the gateway calls other processes: parents of the client spans, which are the parents of server spans there. */
export const CALLED_FROM: Partial<Record<RpcMethod, readonly (SpanName | RpcMethod)[]>> = {
  [ENCODE]: ['encode'],
  [SEARCH]: ['retrieve'],
  [RANK]: ['rank'],
  'onepass.encoder.v1.UserEncoderService/Forget': ['onepass.gateway.v1.EventService/ForgetPerson'],
  'onepass.retrieval.v1.RetrievalService/GetItems': ['look_up', 'onepass.gateway.v1.CatalogService/GetItems'],
};

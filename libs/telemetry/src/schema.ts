import type { ErrorKind } from '@onepass/errors';

/**
 * Everything that a process of the mesh tells of itself: metrics and spans, with their names, units and attributes. Names of RPCs follow the
 * semantic conventions of OpenTelemetry, all others begin with `onepass.`. docs/telemetry.md is generated from this file, and a test holds
 * what is emitted to it. Every attribute of a metric has a closed set of values; ids of people are in none of them.
 */

export type Role = 'gateway' | 'user-encoder' | 'retrieval' | 'ranking';
const ALL: readonly Role[] = ['gateway', 'user-encoder', 'retrieval', 'ranking'];

/** Full names of all methods. A test in libs/contracts holds them to the contract. */
export const RPC_METHODS = [
  'onepass.gateway.v1.RecommendationService/Recommend',
  'onepass.gateway.v1.RecommendationService/Describe',
  'onepass.gateway.v1.EventService/LogActions',
  'onepass.gateway.v1.EventService/LogSlate',
  'onepass.gateway.v1.EventService/ForgetPerson',
  'onepass.gateway.v1.CatalogService/UpsertItems',
  'onepass.gateway.v1.CatalogService/DeleteItems',
  'onepass.gateway.v1.CatalogService/GetItems',
  'onepass.encoder.v1.UserEncoderService/Encode',
  'onepass.encoder.v1.UserEncoderService/Forget',
  'onepass.encoder.v1.UserEncoderService/Describe',
  'onepass.retrieval.v1.RetrievalService/Search',
  'onepass.retrieval.v1.RetrievalService/GetItems',
  'onepass.retrieval.v1.RetrievalService/UpsertItems',
  'onepass.retrieval.v1.RetrievalService/DeleteItems',
  'onepass.retrieval.v1.RetrievalService/Describe',
  'onepass.ranking.v1.RankingService/Rank',
  'onepass.ranking.v1.RankingService/Describe',
] as const;
export type RpcMethod = (typeof RPC_METHODS)[number];

const ERROR_KINDS = [
  'invalid_argument',
  'kv_miss',
  'release_mismatch',
  'overloaded',
  'unavailable',
  'deadline_exceeded',
  'cancelled',
  'not_found',
  'unauthenticated',
  'permission_denied',
  'unimplemented',
  'startup',
  'internal',
] as const satisfies readonly ErrorKind[];

const RPC = {
  'rpc.system.name': ['grpc'],
  'rpc.method': RPC_METHODS,
  'rpc.response.status_code': [
    'OK',
    'CANCELLED',
    'INVALID_ARGUMENT',
    'DEADLINE_EXCEEDED',
    'NOT_FOUND',
    'PERMISSION_DENIED',
    'RESOURCE_EXHAUSTED',
    'FAILED_PRECONDITION',
    'UNIMPLEMENTED',
    'INTERNAL',
    'UNAVAILABLE',
    'UNAUTHENTICATED',
  ],
} as const;
const STAGE = { 'onepass.stage': ['encode', 'look_up', 'retrieve', 'rank', 'page'] } as const;
const GROUP = { 'onepass.admission.group': ['pages', 'events', 'catalog', 'stage'] } as const;
const PRIORITY = { 'onepass.priority': ['interactive', 'prefetch', 'batch'] } as const;
const GRAPH = { 'onepass.graph': ['encode', 'retrieve_head', 'rank', 'query_tower'] } as const;

/** "unknown", and beside it the callers that the policy names: few, and none of them a person. */
const CALLERS: readonly string[] = ['unknown'];

/** Bounds of a histogram's buckets, in seconds: from a fraction of a stage to the longest budget. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 10];

export interface MetricSpec {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** UCUM, as OpenTelemetry writes it: `s`, `By`, `1` for a share, `{thing}` for a number of things. */
  readonly unit: string;
  readonly says: string;
  readonly roles: readonly Role[];
  /** By name, the values it may have. */
  readonly attributes: Readonly<Record<string, readonly string[]>>;
  /** Upper bounds of a histogram's buckets, rising. */
  readonly bounds?: readonly number[];
  /** Of a gauge or histogram: told only once this has happened; absent: from the start, or from the first request on. */
  readonly when?: string;
}

export const METRICS = {
  // Calls.
  'rpc.server.call.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Calls answered, from arrival to the last byte handed to the transport.',
    roles: ALL,
    attributes: RPC,
    bounds: SECONDS,
  },
  'rpc.client.call.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Calls to other processes of the mesh.',
    roles: ['gateway'],
    attributes: RPC,
    bounds: SECONDS,
  },

  // Pages.
  'onepass.pages': {
    kind: 'counter',
    unit: '{page}',
    says: 'Pages made, by where the KV they were ranked with came from; none: not ranked.',
    roles: ['gateway'],
    attributes: { 'onepass.kv.source': ['none', 'empty', 'slot', 'append', 'recompute', 'tier'] },
  },
  'onepass.pages.degraded': {
    kind: 'counter',
    unit: '{page}',
    says: 'Pages answered degraded; one with several reasons counts under each.',
    roles: ['gateway'],
    attributes: {
      'onepass.degraded.reason': ['ranking', 'encoder', 'retrieval', 'history', 'coverage', 'switch'],
    },
  },
  'onepass.stage.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Stages of pages, as the gateway sees them.',
    roles: ['gateway'],
    attributes: STAGE,
    bounds: SECONDS,
  },
  'onepass.stage.failures': {
    kind: 'counter',
    unit: '{failure}',
    says: 'Stages that failed, whether or not there was a way around them.',
    roles: ['gateway'],
    attributes: { ...STAGE, 'error.type': ERROR_KINDS },
  },
  'onepass.calls.refused': {
    kind: 'counter',
    unit: '{call}',
    says: 'Calls that the policy did not let in, before they were read.',
    roles: ALL,
    attributes: {
      'onepass.caller': CALLERS,
      'onepass.refusal': ['no_certificate', 'unknown_caller', 'method', 'rate_limit', 'concurrency_limit'],
    },
  },
  'onepass.files.replaced': {
    kind: 'counter',
    unit: '{time}',
    says: 'New certificates, policies, switches and lists of cells found: taken, or broken and left.',
    roles: ALL,
    attributes: {
      'onepass.files': ['certificates', 'policy', 'switches', 'cells'],
      'onepass.files.outcome': ['taken', 'left'],
    },
  },
  'onepass.certificate.lifetime': {
    kind: 'gauge',
    unit: 's',
    says: 'For how long the certificate of this process is still good.',
    roles: ALL,
    attributes: {},
    when: 'TLS is on',
  },
  'onepass.switch': {
    kind: 'gauge',
    unit: '{switch}',
    says: 'Kill switches: 1 = on.',
    roles: ALL,
    attributes: { 'onepass.switch.name': ['popular_only', 'kv_reuse_off', 'tier_off', 'events_read_only', 'drain'] },
    when: 'ONEPASS_SWITCHES is set',
  },
  'onepass.slates': {
    kind: 'counter',
    unit: '{slate}',
    says: 'Served slates, by what became of them: recorded behind their answer, dropped because the store was slow or down, expired at the end of their days.',
    roles: ['gateway'],
    attributes: { 'onepass.slate.outcome': ['recorded', 'dropped', 'expired'] },
  },
  'onepass.slates.pending': {
    kind: 'gauge',
    unit: '{slate}',
    says: 'Served slates that wait to be recorded.',
    roles: ['gateway'],
    attributes: {},
  },
  'onepass.slates.remembered': {
    kind: 'gauge',
    unit: '{slate}',
    says: 'Slates kept to answer a repeated request id.',
    roles: ['gateway'],
    attributes: {},
  },

  // Load.
  'onepass.admission.in_flight': {
    kind: 'gauge',
    unit: '{call}',
    says: 'Calls that were admitted and are not answered.',
    roles: ALL,
    attributes: GROUP,
  },
  'onepass.admission.limit': {
    kind: 'gauge',
    unit: '{call}',
    says: 'Calls that may be in flight; of pages it adapts to what the mesh does.',
    roles: ALL,
    attributes: GROUP,
  },
  'onepass.admission.waiting': {
    kind: 'gauge',
    unit: '{call}',
    says: 'Calls that wait to be admitted.',
    roles: ALL,
    attributes: { ...GROUP, ...PRIORITY },
  },
  'onepass.admission.refusals': {
    kind: 'counter',
    unit: '{call}',
    says: 'Calls refused: late = would not be done by the deadline; full = too many wait; displaced = by a higher priority; expired = while waiting.',
    roles: ALL,
    attributes: {
      ...GROUP,
      'onepass.admission.refusal': ['late', 'full', 'displaced', 'expired'],
      ...PRIORITY,
    },
  },
  'onepass.admission.wait.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Waiting to be admitted, of calls that had to wait.',
    roles: ['gateway'],
    attributes: GROUP,
    bounds: SECONDS,
    when: 'a call waited to be admitted',
  },
  'onepass.admission.wait.predicted': {
    kind: 'histogram',
    unit: 's',
    says: 'What that waiting was predicted to be when the call came.',
    roles: ['gateway'],
    attributes: GROUP,
    bounds: SECONDS,
    when: 'a call waited to be admitted',
  },
  'onepass.retries': {
    kind: 'counter',
    unit: '{call}',
    says: 'Calls to stages that could not be reached: tried again, at the next cell where there is one, or denied by the retry budget.',
    roles: ['gateway'],
    attributes: { ...STAGE, 'onepass.retry.outcome': ['granted', 'denied'] },
  },
  'onepass.retries.left': {
    kind: 'gauge',
    unit: '{call}',
    says: 'Retries that the budget would grant now.',
    roles: ['gateway'],
    attributes: {},
  },

  // Cells.
  'onepass.cells': {
    kind: 'gauge',
    unit: '{cell}',
    says: 'Cells by what they are to this gateway: joining = with a growing share of their people; draining = nobody is sent there; passed_over = not reached.',
    roles: ['gateway'],
    attributes: { 'onepass.cell.state': ['joining', 'serving', 'draining', 'passed_over'] },
  },
  'onepass.cells.weight': {
    kind: 'gauge',
    unit: '{cell}',
    says: 'Cells that people are sent to, one that joins counted by its share.',
    roles: ['gateway'],
    attributes: {},
  },
  'onepass.pages.moved': {
    kind: 'counter',
    unit: '{page}',
    says: 'Pages made elsewhere than at the person’s own cell, by why: what that cell is, more under way there than it may have (load), or its loss while the page was made (lost).',
    roles: ['gateway'],
    attributes: { 'onepass.move.reason': ['joining', 'draining', 'passed_over', 'load', 'lost'] },
  },

  // Histories.
  'onepass.history.events': {
    kind: 'counter',
    unit: '{event}',
    says: 'Events of LogActions, by what became of them.',
    roles: ['gateway'],
    attributes: { 'onepass.event.status': ['accepted', 'duplicate', 'pending_item', 'refused'] },
  },
  'onepass.history.append.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Writes to the history store, until durable.',
    roles: ['gateway'],
    attributes: {},
    bounds: SECONDS,
  },
  'onepass.history.read.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Reading what is new of a history, failed reads too.',
    roles: ['user-encoder'],
    attributes: {},
    bounds: SECONDS,
  },
  'onepass.history.unreadable': {
    kind: 'counter',
    unit: '{read}',
    says: 'Histories that could not be read, so that what was held had to do.',
    roles: ['user-encoder'],
    attributes: {},
  },

  // KV.
  'onepass.kv.requests': {
    kind: 'counter',
    unit: '{request}',
    says: 'Encodes, by where the KV came from: slot is a hit, append a hit with new actions, tier is brought back from the warm tier, recompute a miss.',
    roles: ['user-encoder'],
    attributes: { 'onepass.kv.source': ['empty', 'slot', 'append', 'tier', 'recompute'] },
  },
  'onepass.kv.slots.limit': {
    kind: 'gauge',
    unit: '{slot}',
    says: 'Slots of the pool: persons held at most.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.kv.slots.usage': {
    kind: 'gauge',
    unit: '{slot}',
    says: 'Slots by what they are: without a person, being filled for one, holding one’s KV, or resting after one before they are used again.',
    roles: ['user-encoder'],
    attributes: { 'onepass.kv.slot.state': ['free', 'filling', 'held', 'resting'] },
  },
  'onepass.kv.slots.leased': {
    kind: 'gauge',
    unit: '{slot}',
    says: 'Slots that are worked on.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.kv.memory.limit': {
    kind: 'gauge',
    unit: 'By',
    says: 'Memory for KV, at most.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.kv.memory.usage': {
    kind: 'gauge',
    unit: 'By',
    says: 'Memory that slots have now.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.kv.allocations': {
    kind: 'counter',
    unit: '{allocation}',
    says: 'Slots, or more room in one, asked for: allocated, or refused because others were in the way.',
    roles: ['user-encoder'],
    attributes: { 'onepass.kv.allocation': ['granted', 'refused'] },
  },
  'onepass.kv.evictions': {
    kind: 'counter',
    unit: '{slot}',
    says: 'Slots taken from a person for another.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.kv.evictions.early': {
    kind: 'counter',
    unit: '{slot}',
    says: 'Evictions of slots used a moment ago: more than a few say that the pool is too small.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.warm.entries': {
    kind: 'gauge',
    unit: '{entry}',
    says: 'Entries of the warm tier that this process knows of.',
    roles: ['user-encoder'],
    attributes: {},
    when: 'it has a warm tier',
  },
  'onepass.warm.usage': {
    kind: 'gauge',
    unit: 'By',
    says: 'What they take.',
    roles: ['user-encoder'],
    attributes: {},
    when: 'it has a warm tier',
  },
  'onepass.warm.waiting': {
    kind: 'gauge',
    unit: '{person}',
    says: 'Persons whose KV waits to be written to the warm tier.',
    roles: ['user-encoder'],
    attributes: {},
    when: 'it has a warm tier',
  },
  'onepass.warm.writes': {
    kind: 'counter',
    unit: '{entry}',
    says: 'Entries written to the warm tier.',
    roles: ['user-encoder'],
    attributes: {},
    when: 'it has a warm tier',
  },
  'onepass.warm.finds': {
    kind: 'counter',
    unit: '{find}',
    says: 'Questions for a person’s entry, by what came of them; what is damaged or of another release is removed.',
    roles: ['user-encoder'],
    attributes: {
      'onepass.warm.find': [
        ...['hit', 'absent', 'short', 'unused', 'unavailable', 'expired'],
        ...['damaged', 'other_version', 'other_codec', 'other_release', 'other_shape', 'other_person'],
      ],
    },
    when: 'it has a warm tier',
  },
  'onepass.warm.drops': {
    kind: 'counter',
    unit: '{entry}',
    says: 'Entries that were not written to the warm tier, by why.',
    roles: ['user-encoder'],
    attributes: {
      'onepass.warm.drop': [
        ...['queue_full', 'no_slot', 'short', 'not_finite', 'encode_failed'],
        ...['store_full', 'store_failed', 'forgotten', 'closed'],
      ],
    },
    when: 'it has a warm tier',
  },
  'onepass.kv.slot.wait.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Waiting for a slot to come free, where one was needed.',
    roles: ['user-encoder'],
    attributes: {},
    bounds: SECONDS,
  },
  'onepass.kv.misses': {
    kind: 'counter',
    unit: '{miss}',
    says: 'Ranks refused because the KV they were pointed at was gone or changed.',
    roles: ['ranking'],
    attributes: {},
  },

  // Encoding and graph runs.
  'onepass.persons.remembered': {
    kind: 'gauge',
    unit: '{person}',
    says: 'Persons whose state is remembered beside their slots.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.persons.in_work': {
    kind: 'gauge',
    unit: '{person}',
    says: 'Persons with an encode under way or waiting.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.person_queue.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Waiting for another encode of the same person.',
    roles: ['user-encoder'],
    attributes: {},
    bounds: SECONDS,
  },
  'onepass.encode.tokens': {
    kind: 'counter',
    unit: '{token}',
    says: 'Past tokens that went through the trunk.',
    roles: ['user-encoder'],
    attributes: {},
  },
  'onepass.rank.candidates': {
    kind: 'counter',
    unit: '{candidate}',
    says: 'Candidates scored.',
    roles: ['ranking'],
    attributes: {},
  },
  'onepass.inference.run.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Graph runs, without their waiting.',
    roles: ['user-encoder', 'ranking'],
    attributes: GRAPH,
    bounds: SECONDS,
  },
  'onepass.inference.runs': {
    kind: 'counter',
    unit: '{run}',
    says: 'Graph runs that began, those that were then cancelled too.',
    roles: ['user-encoder', 'ranking'],
    attributes: {},
  },
  'onepass.inference.queue.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Waiting of graph runs for their turn.',
    roles: ['user-encoder', 'ranking'],
    attributes: GRAPH,
    bounds: SECONDS,
  },
  'onepass.inference.queued': {
    kind: 'gauge',
    unit: '{run}',
    says: 'Graph runs that wait.',
    roles: ['user-encoder', 'ranking'],
    attributes: {},
  },
  'onepass.inference.running': {
    kind: 'gauge',
    unit: '{run}',
    says: 'Graph runs under way.',
    roles: ['user-encoder', 'ranking'],
    attributes: {},
  },

  // Search.
  'onepass.searches': {
    kind: 'counter',
    unit: '{search}',
    says: 'Searches answered, by query embeddings or by the popular list of a surface.',
    roles: ['retrieval'],
    attributes: { 'onepass.search.by': ['queries', 'popular'] },
  },
  'onepass.search.shards': {
    kind: 'counter',
    unit: '{shard}',
    says: 'Shards asked; coverage is answered / (answered + failed).',
    roles: ['retrieval'],
    attributes: { 'onepass.shard.outcome': ['answered', 'failed'] },
  },
  'onepass.index.items': {
    kind: 'gauge',
    unit: '{item}',
    says: 'Items of the release.',
    roles: ['retrieval'],
    attributes: {},
  },
  'onepass.index.shards': {
    kind: 'gauge',
    unit: '{shard}',
    says: 'Shards of the index.',
    roles: ['retrieval'],
    attributes: {},
  },

  // The process.
  'nodejs.eventloop.delay.p99': {
    kind: 'gauge',
    unit: 's',
    says: 'Event loop lag, 99th percentile since it was last read.',
    roles: ALL,
    attributes: {},
  },
  'nodejs.eventloop.delay.max': {
    kind: 'gauge',
    unit: 's',
    says: 'Event loop lag, longest since it was last read.',
    roles: ALL,
    attributes: {},
  },
  'process.cpu.time': {
    kind: 'counter',
    unit: 's',
    says: 'CPU time of all threads.',
    roles: ALL,
    attributes: { 'cpu.mode': ['user', 'system'] },
  },
  'process.memory.usage': {
    kind: 'gauge',
    unit: 'By',
    says: 'Memory that lies in RAM (RSS), shared memory in use too.',
    roles: ALL,
    attributes: {},
  },
  'process.uptime': {
    kind: 'gauge',
    unit: 's',
    says: 'Time since the process was started.',
    roles: ALL,
    attributes: {},
  },
  'onepass.trace.spans': {
    kind: 'counter',
    unit: '{span}',
    says: 'Sampled spans, ended and what became of them; ended - exported - failed = waiting, or dropped from a full queue.',
    roles: ALL,
    attributes: { 'onepass.span.state': ['ended', 'exported', 'failed'] },
  },
} as const satisfies Readonly<Record<string, MetricSpec>>;

export type MetricName = keyof typeof METRICS;

type NamesOf<Kind> = {
  [N in MetricName]: (typeof METRICS)[N]['kind'] extends Kind ? N : never;
}[MetricName];
export type CounterName = NamesOf<'counter'>;
export type GaugeName = NamesOf<'gauge'>;
export type HistogramName = NamesOf<'histogram'>;

/** The attributes of one point of a metric: all of them, always. */
export type AttributesOf<N extends MetricName> = {
  readonly [A in keyof (typeof METRICS)[N]['attributes']]: (typeof METRICS)[N]['attributes'][A] extends readonly (infer V)[]
    ? V
    : never;
};

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

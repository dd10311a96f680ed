import { ALL } from './methods.js';
import { GRAPH, type MetricSpec, SECONDS } from './metric-spec.js';

/** Of encoding, graph runs, search and the process. */
export const WORK_METRICS = {
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

import type { SweepName, SystemName } from '../measurements.js';
import type { CpuPart, SpanKind } from './findings.js';

/** Beside a line or a bar. */
export const SHORT: Readonly<Record<SystemName, string>> = {
  A: 'A',
  B: 'B',
  Bprime: 'B′',
  C: 'C',
  D: 'D',
  G: 'G',
  Gkv: 'G with KV',
};

/** With what it is, in few words. */
export const NAMES: Readonly<Record<SystemName, string>> = {
  A: 'A Onepass',
  B: 'B two models',
  Bprime: 'B′ two models, kept',
  C: 'C shared by stages',
  D: 'D shared and kept',
  G: 'G monolith',
  Gkv: 'G monolith, kept',
};

/** Where a run does not say it itself. */
export const DESCRIPTIONS: Readonly<Record<SystemName, string>> = {
  A: 'All of Onepass: one model, its KV shared by the stages of a request and kept from request to request.',
  B: 'Two separate models, one for retrieval and one for ranking. Each encodes the whole history for every page. This is what one pass replaces.',
  Bprime:
    'Two separate models, each of which keeps its own KV from request to request. Together they have the same memory for KV as A, so that each has room for half as many people.',
  C: 'One model whose KV is shared by the stages of a request and dropped after it.',
  D: 'One model whose KV is shared and kept, without the warm tier.',
  G: 'One Python process (grpc.aio, onnxruntime, faiss) on the same graphs, as a team would write it in a week. It keeps no KV after a page.',
  Gkv: 'The same Python process, which keeps KV in its memory from request to request.',
};

export interface SweepWords {
  /** For headings and for the list of what was not measured. */
  readonly title: string;
  readonly axis: string;
  /** Values grow by factors. */
  readonly log: boolean;
  /** A value within a sentence. */
  value(value: number): string;
}

const plain = (before: string) => (value: number) => `${before}${value}`;

export const SWEEPS: Readonly<Record<SweepName, SweepWords>> = {
  history: { title: 'History', axis: 'past actions, n', log: true, value: plain('n=') },
  candidates: { title: 'Candidates', axis: 'candidates, k', log: true, value: plain('k=') },
  returning: {
    title: 'Returning people',
    axis: 'share of requests by returning people',
    log: false,
    value: (share) => `${Math.round(100 * share)}% returning`,
  },
  actions: {
    title: 'New actions',
    axis: 'new actions between two requests',
    log: true,
    value: (n) => `${n} new action${n === 1 ? '' : 's'}`,
  },
  kv_memory: { title: 'Memory for KV', axis: 'memory for KV, MiB', log: true, value: (mib) => `${mib} MiB` },
  rate: { title: 'Offered rate', axis: 'offered pages a second', log: false, value: (qps) => `${qps}/s` },
  cells: { title: 'Cells', axis: 'cells', log: false, value: (n) => `${n} cell${n === 1 ? '' : 's'}` },
};

export const SPANS: Readonly<Record<SpanKind, string>> = {
  compute: 'graphs and search',
  serialise: 'serialisation',
  copy: 'copying',
  hop: 'between threads',
  queue: 'waiting in a line',
  network: 'gRPC, HTTP/2 and sockets',
  other: 'other code',
};

/** Numbers of the colours that say what CPU is for, the same in bars and flame graphs; grey is what is for nothing in particular. */
export const PART_COLOURS: Readonly<Record<CpuPart, number>> = {
  'graphs, thread pool': 0,
  'gRPC and HTTP/2': 1,
  'protobuf messages': 2,
  search: 3,
  'tokens and history': 4,
  'page rules and tokens': 7,
  telemetry: 6,
  'garbage collection, V8’s threads': 8,
  'other JavaScript': 5,
  'native and kernel': 9,
};

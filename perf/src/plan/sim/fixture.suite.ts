// Service times that were made up, about as large as those of a small machine.
import { ENCODE_KINDS, type PageTimes, type ServiceTimes } from './service-times.js';

const GRAPH_MS = { keep: 1, append: 1.5, encode: 6 } as const;

const page = (kind: PageTimes['kind'], tokens: number, slow: number): PageTimes => ({
  ...{ kind, tokens, wallMs: 0.95 * (10 * slow + GRAPH_MS[kind]) },
  ...{ client: 1 * slow, gateway: 4 * slow, gatewayBeside: 0.2 },
  ...{ encoder: 1.5 * slow, encoderGraph: GRAPH_MS[kind], encoderBeside: 0.1 },
  ...{ retrieval: 1 * slow, retrievalBeside: 0 },
  ...{ ranking: 1 * slow, rankingGraph: 3, rankingBeside: 0.1 },
});

/** Now and then a page is slow. */
const SLOW = [1, 1, 1, 1, 1, 1, 1, 1, 1.5, 2];
const TOKENS = { keep: [0], append: [1], encode: [64, 224] } as const;

export const TIMES: ServiceTimes = {
  machine: { cpu: 'none', cores: 2, memoryGiB: 4, kernel: '6', node: '20' },
  date: '2026-01-01T00:00:00.000Z',
  release: 'made-up',
  shape: { n: 256, k: 200, layers: 4, width: 128 },
  ...{ historyLength: 224, hopMs: 0.05, wakeMs: 0, busySpeed: 0.9 },
  pages: ENCODE_KINDS.flatMap((kind) => TOKENS[kind].flatMap((tokens) => SLOW.map((slow) => page(kind, tokens, slow)))),
  actions: [1, 64].flatMap((events) =>
    SLOW.map((slow) => ({ events, client: 0.5 * slow, gateway: slow, gatewayBeside: 0.5 })),
  ),
};

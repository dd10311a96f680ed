import {
  connectTo,
  type RankingService,
  RecommendationService,
  type retrieval,
  type UserEncoderService,
} from '@onepass/contracts';
import type { LoadTarget } from './observe.js';

export type DescribedService =
  | typeof RecommendationService
  | typeof UserEncoderService
  | typeof retrieval.RetrievalService
  | typeof RankingService;

/**
 * A gateway of ours as something to be loaded: it counts what ghz does not read, in what Describe answers.
 * @param pids its processes and those behind it, by role, as they are now
 */
export function gatewayTarget(address: string, pids: () => Readonly<Record<string, number>>): Required<LoadTarget> {
  return {
    address,
    pids,
    degraded: async () => {
      const reasons = labelled(await measurementsAt(address), 'onepass.pages.degraded');
      // A page with two reasons counts twice: goodput is rather too low than too high.
      return Object.values(reasons).reduce((sum, count) => sum + count, 0);
    },
    kv: async () => labelled(await measurementsAt(address), 'onepass.pages'),
  };
}

/**
 * What a process of ours, or one that answers as ours do, says of itself by Describe.
 * @param service that it has; they all have the same Describe
 * @throws OnepassError of one that does not answer
 */
export async function measurementsAt(
  address: string,
  service: DescribedService = RecommendationService,
): Promise<Readonly<Record<string, number>>> {
  const connection = connectTo(address);
  try {
    const client = connection.client(service as typeof RecommendationService);
    return (await client.describe({}, { deadlineMs: Date.now() + 5_000 })).measurements;
  } finally {
    connection.close();
  }
}

/** Counts by the value of a metric's only label, as in `onepass.pages{onepass.kv.source="slot"}`. */
function labelled(all: Readonly<Record<string, number>>, metric: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [name, count] of Object.entries(all)) {
    const label = name.startsWith(`${metric}{`) ? /="([^"]*)"\}$/.exec(name)?.[1] : undefined;
    if (label !== undefined && count > 0) counts[label] = count;
  }
  return counts;
}

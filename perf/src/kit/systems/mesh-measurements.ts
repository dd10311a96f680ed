import { connectTo, RankingService, RecommendationService, retrieval, UserEncoderService } from '@onepass/contracts';
import type { Mesh } from '@onepass/local';

type Numbers = Readonly<Record<string, number>>;
type ByRole = Readonly<Record<string, Numbers>>;

const SERVICES: Readonly<Record<string, unknown>> = {
  gateway: RecommendationService,
  'user-encoder': UserEncoderService,
  retrieval: retrieval.RetrievalService,
  ranking: RankingService,
};

/**
 * What the processes of a mesh, or of one of its services, say of themselves by Describe; by role.
 * @throws OnepassError of one that does not answer
 */
export async function measurementsOf(mesh: Mesh, only?: string): Promise<ByRole> {
  const plans = mesh.plans.filter(({ service }) => only === undefined || service === only);
  const described = plans.map(async ({ role, service, address }) => {
    const connection = connectTo(address);
    try {
      // They all have the same Describe.
      const client = connection.client(SERVICES[service] as typeof RecommendationService);
      return [role, (await client.describe({})).measurements] as const;
    } finally {
      connection.close();
    }
  });
  return Object.fromEntries(await Promise.all(described));
}

/** Pages since the start, by source of the KV that they were ranked on. */
export function kvSourcesOf({ gateway = {} }: ByRole): Numbers {
  const sources = Object.entries(gateway).flatMap(([name, pages]) => {
    const source = /^onepass\.pages\{onepass\.kv\.source="(\w+)"\}$/.exec(name)?.[1];
    return source === undefined || pages === 0 ? [] : [[source, pages] as const];
  });
  return Object.fromEntries(sources);
}

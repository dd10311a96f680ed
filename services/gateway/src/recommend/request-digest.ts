import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { Priority, type RecommendRequest, RecommendRequestSchema } from '@onepass/contracts';

/** The same for the same request, whatever its id and priority. Clients may write a map's entries in another order on every try. */
export function requestDigest(request: RecommendRequest): string {
  const { features, utilityWeights } = request;
  const ordered = {
    ...request,
    requestId: '',
    priority: Priority.UNSPECIFIED,
    features: sorted(features),
    utilityWeights: sorted(utilityWeights),
  };
  return hash('sha256', toBinary(RecommendRequestSchema, create(RecommendRequestSchema, ordered)));
}

function sorted(map: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}

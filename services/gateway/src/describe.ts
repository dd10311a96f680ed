import type { MessageInitShape } from '@bufbuild/protobuf';
import { DEFAULT_MESSAGE_BYTES, type DescribeResponseSchema } from '@onepass/contracts';
import { ID_BYTES } from '@onepass/pages';
import type { Measurements } from '@onepass/telemetry';
import { LIMITS } from './recommend/limits.js';
import type { ServedRelease } from './served-release.js';

/** What this gateway is and takes. */
export function describe(
  release: ServedRelease,
  measurements: Measurements,
): MessageInitShape<typeof DescribeResponseSchema> {
  const { model, vocabulary } = release;
  return {
    role: 'gateway',
    releaseId: release.id,
    actions: release.actions,
    surfaces: [...vocabulary.surfaces.names],
    attributes: [...release.attributes.keys()].sort(),
    requestFeatures: [...vocabulary.requestFeatures.names],
    limits: {
      idBytes: ID_BYTES,
      messageBytes: DEFAULT_MESSAGE_BYTES,
      pageSize: LIMITS.pageSize,
      candidates: model.maxCandidates,
      window: model.window,
      itemDimension: model.itemDimension,
      upstreamDimension: model.upstreamDimension,
      contextRows: model.contextRows,
    },
    measurements: measurements.snapshot(),
  };
}

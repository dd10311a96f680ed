import {
  DEFAULT_MESSAGE_BYTES,
  Degraded_Reason,
  EmbeddingType,
  type Implementation,
  implement,
  UserEncoderService,
} from '@onepass/contracts';
import { encodeEmbeddings } from '@onepass/embeddings';
import { invalidArgument } from '@onepass/errors';
import { ID_BYTES, type Release } from '@onepass/release';
import { personKey } from '@onepass/routing';
import type { Measurements } from '@onepass/telemetry';
import { parseEncodeRequest } from './encode-ask.js';
import type { ServedModel } from './served-model.js';
import type { UserEncoder } from './user-encoder.js';

export interface ServiceParts {
  readonly release: Release;
  readonly model: ServedModel;
  readonly encoder: UserEncoder;
  readonly measurements: Measurements;
  readonly executionProvider: string;
}

/** The wire's side of the user-encoder. */
export function userEncoderService(parts: ServiceParts): Implementation {
  const { model, encoder } = parts;
  const dimension = model.layout.itemDimension;
  return implement(UserEncoderService, {
    encode: async (request, call) => {
      const ask = parseEncodeRequest(request, model);
      const encoded = await encoder.encode(ask, call);
      const { surface, nowMs, features } = ask.context;
      const { contextEmbeddings } = encoded;
      const embeddings = contextEmbeddings && encodeEmbeddings(contextEmbeddings, dimension, EmbeddingType.F32);
      return {
        kv: encoded.reference,
        kvSource: encoded.source,
        queries: encodeEmbeddings(encoded.queries, dimension, EmbeddingType.F32),
        seenRows: encoded.seenRows,
        context: {
          surface,
          nowMs,
          features,
          ...(embeddings && { embeddings }),
          ...(encoded.lastMs !== undefined && { previousMs: BigInt(encoded.lastMs) }),
        },
        encodedTokens: encoded.encodedTokens,
        stages: encoded.stages.timings(),
        degraded: encoded.degraded === undefined ? [] : [{ reason: Degraded_Reason.HISTORY, detail: encoded.degraded }],
      };
    },
    forget: async (request, call) => {
      const person = personKey(request.person);
      if (person === undefined) throw invalidArgument('person', 'must name a user or a visitor');
      await encoder.forget(person, call);
      return {};
    },
    describe: () => describeUserEncoder(parts),
  });
}

function describeUserEncoder({ release, measurements, executionProvider }: ServiceParts) {
  const { model, vocabulary } = release.manifest;
  return {
    role: 'user-encoder',
    releaseId: release.id,
    actions: vocabulary.actions,
    surfaces: vocabulary.surfaces,
    requestFeatures: vocabulary.requestFeatures,
    limits: {
      idBytes: ID_BYTES,
      messageBytes: DEFAULT_MESSAGE_BYTES,
      window: model.window,
      itemDimension: model.itemDimension,
      upstreamDimension: model.upstreamDimension,
      contextRows: model.contextRows,
      candidates: model.maxCandidates,
    },
    measurements: measurements.snapshot(),
    executionProvider,
  };
}

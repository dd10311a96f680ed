import { UserEncoderService } from './gen/onepass/encoder/v1/encoder_pb.js';
import { CatalogService } from './gen/onepass/gateway/v1/catalog_pb.js';
import { EventService } from './gen/onepass/gateway/v1/event_pb.js';
import { RecommendationService } from './gen/onepass/gateway/v1/recommendation_pb.js';
import { RankingService } from './gen/onepass/ranking/v1/ranking_pb.js';
import { RetrievalService } from './gen/onepass/retrieval/v1/retrieval_pb.js';

/** All services, by the role that serves them. */
export const SERVICES_OF_ROLE = {
  gateway: [RecommendationService, EventService, CatalogService],
  'user-encoder': [UserEncoderService],
  retrieval: [RetrievalService],
  ranking: [RankingService],
} as const;

/** Names of all methods, without their services. */
export const contractMethods: ReadonlySet<string> = new Set(
  Object.values(SERVICES_OF_ROLE)
    .flat()
    .flatMap((service) => service.methods.map((method) => method.name)),
);

export type Role = 'gateway' | 'user-encoder' | 'retrieval' | 'ranking';
/** Of every process. */
export const ALL: readonly Role[] = ['gateway', 'user-encoder', 'retrieval', 'ranking'];

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

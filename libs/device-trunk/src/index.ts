export type { Placed } from './ask-line.js';
export {
  type BucketOptions,
  type BucketShape,
  Buckets,
  type EncodeSizes,
  type RankSizes,
  USUAL_BUCKETS,
} from './buckets.js';
export * from './device-kv.js';
export * from './device-model.js';
export * from './device-pools.js';
export * from './device-trunk.js';
export type { PageWrite } from './page-writes.js';
export type { PreparedLimits } from './prepared-runs.js';
export { type SoakCounts, type SoakOptions, soak } from './soak.js';
export type { EncodeAsk, EncodeResult, RankAsk, RankResult, TrunkTiming } from './trunk-ask.js';
export type { RunSizes } from './trunk-runs.js';

export { checkingKv } from './checking-kv.js';
export type { RankAsk } from './rank-ask.js';
export type { RankRun } from './rank-graph.js';
export type * from './ranker.js';
export * from './ranking.js';
export type { ServedModel } from './served-model.js';
export * from './settings.js';

export { rankingProgram, startRanking } from './ranking.js';
export type { RankingSettings } from './settings.js';

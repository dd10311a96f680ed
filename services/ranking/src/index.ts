export { rankingProgram, startRanking } from './ranking.js';
export * from './settings.js';

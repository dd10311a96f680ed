export { type PrewarmReport, prewarm } from './prewarm.js';
export { runPrewarm } from './run-prewarm.js';

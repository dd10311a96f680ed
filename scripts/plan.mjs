// `npm run plan`: installs, builds, then says how many cells a population needs.
import { runBuilt } from './lib/command.mjs';

await runBuilt(async () => (await import('../perf/dist/index.js')).runPlan);

// `npm run bench`: installs, builds, then measures.
import { runBuilt } from './lib/command.mjs';

await runBuilt(async () => (await import('../perf/dist/index.js')).runBench);

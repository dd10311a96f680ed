// `npm run bench:gpu`: installs, builds, then measures the device engine.
import { runBuilt } from './lib/command.mjs';

await runBuilt(async () => (await import('../perf/dist/index.js')).runBenchGpu);

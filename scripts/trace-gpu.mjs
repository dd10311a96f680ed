// `npm run trace:gpu`: installs, builds, then says what a GPU would be given.
import { runBuilt } from './lib/command.mjs';

await runBuilt(async () => (await import('../perf/dist/index.js')).runTraceGpu);

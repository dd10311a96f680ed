// `npm run drills`: installs, builds, then breaks meshes on purpose.
import { runBuilt } from './lib/command.mjs';

await runBuilt(async () => (await import('../perf/dist/index.js')).runDrills);

// `npm run prewarm`: installs, builds, then encodes active people ahead of traffic.
import { runBuilt } from './lib/command.mjs';

await runBuilt(async () => (await import('../deploy/prewarm/dist/index.js')).runPrewarm);

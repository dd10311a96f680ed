// `npm run export`: installs, builds, then writes or replays an export.
import { runBuilt } from './lib/command.mjs';

await runBuilt(async () => (await import('../deploy/export/dist/index.js')).runExport);

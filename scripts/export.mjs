// `npm run export`: installs, builds, then writes or replays an export.
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { main } from './lib/steps.mjs';

requirePlatform();

await main(async () => {
  await ensureInstalled();
  await ensureBuilt();
  const { runExport } = await import('../deploy/export/dist/index.js');
  process.exit(await runExport(process.argv.slice(2)));
});

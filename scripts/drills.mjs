// `npm run drills`: installs, builds, then breaks meshes on purpose.
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { main } from './lib/steps.mjs';

requirePlatform();

await main(async () => {
  await ensureInstalled();
  await ensureBuilt();
  const { runDrills } = await import('../perf/dist/index.js');
  process.exit(await runDrills(process.argv.slice(2)));
});

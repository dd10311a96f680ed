// `npm run plan`: installs, builds, then says how many cells a population needs.
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { main } from './lib/steps.mjs';

requirePlatform();

await main(async () => {
  await ensureInstalled();
  await ensureBuilt();
  const { runPlan } = await import('../perf/dist/index.js');
  process.exit(await runPlan(process.argv.slice(2)));
});

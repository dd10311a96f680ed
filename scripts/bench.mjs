// `npm run bench`: installs, builds, then measures.
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { main } from './lib/steps.mjs';

requirePlatform();

await main(async () => {
  await ensureInstalled();
  await ensureBuilt();
  const { runBench } = await import('../perf/dist/index.js');
  process.exit(await runBench(process.argv.slice(2)));
});

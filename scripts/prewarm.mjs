// `npm run prewarm`: installs, builds, then encodes active people ahead of traffic.
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { main } from './lib/steps.mjs';

requirePlatform();

await main(async () => {
  await ensureInstalled();
  await ensureBuilt();
  const { runPrewarm } = await import('../deploy/prewarm/dist/index.js');
  process.exit(await runPrewarm(process.argv.slice(2)));
});

// `npm start`: from a bare checkout to a running mesh.
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { main } from './lib/steps.mjs';

requirePlatform();

await main(async () => {
  const since = Date.now();
  const args = process.argv.slice(2);
  await ensureInstalled();
  await ensureBuilt();
  const { runLocal } = await import('../deploy/local/dist/index.js');
  process.exit(await runLocal(args, since));
});

import { ensureBuilt } from './build.mjs';
import { ensureInstalled } from './install.mjs';
import { requirePlatform } from './platform.mjs';
import { main } from './steps.mjs';

/** @typedef {(args: readonly string[]) => Promise<number>} Command takes what stands behind the command's name and answers its exit code */

/**
 * Runs a workspace's command: installs and builds what it needs first.
 * @param {() => Promise<Command>} load of what is built
 */
export async function runBuilt(load) {
  requirePlatform();
  await main(async () => {
    await ensureInstalled();
    await ensureBuilt();
    const command = await load();
    process.exit(await command(process.argv.slice(2)));
  });
}

// `npm run certificates -- DIRECTORY [name ...]`: an authority and certificates to try TLS with.
import { resolve } from 'node:path';
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { main, Stop } from './lib/steps.mjs';

const HELP = `npm run certificates -- DIRECTORY [name ...]

Writes ca.crt, and NAME.crt and NAME.key for each name (default: the four roles and "frontend"), good for a year on this machine. For trying
TLS out: the authority's key is kept nowhere, so new ones come from running it again.`;
const NAMES = ['gateway', 'user-encoder', 'retrieval', 'ranking', 'frontend'];
const YEAR_DAYS = 365;

await main(async () => {
  const args = process.argv.slice(2);
  if (args.includes('--help')) return console.log(HELP);
  const option = args.find((arg) => arg.startsWith('-'));
  if (option !== undefined)
    throw new Stop(`there is no option ${option}: npm run certificates -- DIRECTORY [name ...]`);
  const [directory, ...names] = args;
  if (directory === undefined) throw new Stop('say where to: npm run certificates -- DIRECTORY [name ...]');
  const wrong = names.find((name) => !/^[a-z0-9][a-z0-9.-]*$/i.test(name));
  if (wrong !== undefined) throw new Stop(`"${wrong}" is no name of a process: letters, digits, "-" and "."`);
  await ensureInstalled();
  await ensureBuilt();
  const { createAuthority, writeBundle, writeCertificates } = await import('../libs/certificates/dist/index.js');
  const authority = createAuthority('Onepass trial CA', YEAR_DAYS);
  try {
    writeBundle(resolve(directory), [authority]);
    writeCertificates(resolve(directory), authority, names.length > 0 ? names : NAMES, YEAR_DAYS);
  } catch (error) {
    throw new Stop(`certificates cannot be written to ${directory}: ${/** @type {Error} */ (error).message}`);
  }
});

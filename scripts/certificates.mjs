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
  const [directory, ...names] = process.argv.slice(2);
  if (directory === '--help') return console.log(HELP);
  if (directory === undefined) throw new Stop('say where to: npm run certificates -- DIRECTORY [name ...]');
  await ensureInstalled();
  await ensureBuilt();
  const { createAuthority, writeBundle, writeCertificates } = await import('../libs/certificates/dist/index.js');
  const authority = createAuthority('Onepass trial CA', YEAR_DAYS);
  writeBundle(resolve(directory), [authority]);
  writeCertificates(resolve(directory), authority, names.length > 0 ? names : NAMES, YEAR_DAYS);
});

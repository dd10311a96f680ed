import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '@onepass/certificates';
import { type Logger, Measurements, silentLogger } from '@onepass/telemetry';
import { afterAll, expect, test, vi } from 'vitest';
import { checkTls, filesOf } from './certificates.js';
import { watchFiles } from './watch-files.js';

const directory = mkdtempSync(join(tmpdir(), 'onepass-certificates-'));
afterAll(() => rmSync(directory, { recursive: true }));

const named = (name: string) => ({ name: `TLS_${name.toUpperCase()}`, path: join(directory, `${name}.pem`) });
const files = { ca: named('ca'), own: { cert: named('cert'), key: named('key') } };
const authority = createAuthority('Test CA');
const good = { ca: authority.cert, ...authority.issue({ commonName: 'stage' }) };
const check = (change: Partial<typeof good>, nowMs = Date.now()) => {
  const { ca, cert, key } = { ...good, ...change };
  return checkTls(files, [ca, cert, key].map(Buffer.from), nowMs);
};

test('files that fit together are taken; so is a bundle whose old authority has expired', () => {
  const old = createAuthority('Old CA', -1).cert;
  expect(check({ ca: old + authority.cert, cert: good.cert + authority.cert }).expiresMs).toBeGreaterThan(Date.now());
  expect(checkTls({ ca: files.ca }, [Buffer.from(good.ca)], Date.now()).expiresMs).toBe(Infinity);
});

const expired = authority.issue({ commonName: 'old', notAfter: new Date(Date.now() - 1000) });
const early = authority.issue({ commonName: 'new', notBefore: new Date(Date.now() + 60_000) });
const DAY_MS = 86_400_000;
test.each([
  ['TLS_CERT: .*cert.pem: holds no PEM certificate', { cert: good.key }],
  ['TLS_CERT: .*cert.pem: holds a certificate that cannot be read', { cert: good.cert.replace('\nMII', '\nMAA') }],
  ['TLS_CERT: .*cert.pem: the certificate of "CN=old" expired on .*GMT', expired],
  ['TLS_CERT: .*cert.pem: the certificate of "CN=new" is valid from .*GMT only', early],
  ['TLS_KEY: .*key.pem: does not fit the certificate in .*cert.pem', { key: expired.key }],
  ['TLS_KEY: .*key.pem: holds no PEM private key', { key: good.cert }],
  ['TLS_CA: .*ca.pem: holds no PEM certificate', { ca: '' }],
  [
    'TLS_CA: .*ca.pem: holds no certificate that is valid now: the first expired',
    { ca: createAuthority('x', -1).cert },
  ],
])('%s', (sentence, change) => {
  expect(() => check(change)).toThrow(new RegExp(`^${sentence}`));
});

test('what is good today is not for ever', () => {
  expect(() => check({}, Date.now() + 2 * DAY_MS)).toThrow('TLS_CERT');
  expect(() => check({}, Date.now() + 400 * DAY_MS)).toThrow('TLS_CA');
});

test('files replaced one by one are taken once they fit; until then the old ones stay and one line says why', async () => {
  const write = (pair: Partial<typeof good>) => {
    for (const [name, text] of Object.entries(pair)) {
      const path = join(directory, `${name}.pem`);
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
    }
  };
  write(good);
  const warn = vi.fn<Logger['warn']>();
  const measurements = new Measurements();
  const watched = watchFiles({
    what: 'certificates',
    files: filesOf(files),
    parse: (contents) => ({ key: checkTls(files, contents, Date.now()).own?.key.toString() }),
    everyMs: 5,
    logger: { ...silentLogger, warn },
    measurements,
  });
  const seen: (string | undefined)[] = [];
  watched.onChange(({ key }) => seen.push(key));
  const next = authority.issue({ commonName: 'stage' });
  write({ cert: next.cert });
  await vi.waitFor(() => expect(warn).toHaveBeenCalledOnce(), 10_000);
  expect(warn.mock.calls[0]?.[1]).toContain('new certificates not taken: TLS_KEY');
  expect(watched.value.key).toBe(good.key);
  write({ key: next.key });
  await vi.waitFor(() => expect(watched.value.key).toBe(next.key), 10_000);
  rmSync(files.ca.path);
  await vi.waitFor(() => expect(warn).toHaveBeenCalledTimes(2), 10_000);
  expect(warn.mock.calls[1]?.[1]).toContain('TLS_CA: cannot be read: ENOENT');
  write(good);
  await vi.waitFor(() => expect(seen).toEqual([next.key, good.key]), 10_000);
  watched.close();
  expect(() => watchFiles({ ...options(measurements), files: [named('absent')] })).toThrow(
    'TLS_ABSENT: cannot be read',
  );
});

const options = (measurements: Measurements) => ({
  what: 'certificates' as const,
  parse: () => 0,
  everyMs: 5,
  logger: silentLogger,
  measurements,
});

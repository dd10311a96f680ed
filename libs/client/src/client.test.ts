import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CA_FILE, createAuthority, writeBundle, writeCertificates } from '@onepass/certificates';
import {
  EventResult_Status,
  EventService,
  gatewayCatalog,
  implement,
  RecommendationService,
  startServer,
  transportOf,
} from '@onepass/contracts';
import { invalidArgument } from '@onepass/errors';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { expect, test } from 'vitest';
import { connect, OnepassError, user, visitor } from './index.js';

test('every call of a frontend, over one connection', async () => {
  const server = await startServer({
    role: 'gateway',
    host: '127.0.0.1',
    port: 0,
    services: [
      implement(RecommendationService, {
        recommend: ({ person, surface }) => {
          if (surface !== 'home') throw invalidArgument('surface', 'is unknown');
          return { slateId: `${person?.id.case} ${person?.id.value}` };
        },
        describe: () => ({ role: 'gateway' }),
      }),
      implement(EventService, {
        logActions: ({ events }) => ({
          results: events.map(({ eventId }) => ({ eventId, status: EventResult_Status.ACCEPTED })),
        }),
      }),
      implement(gatewayCatalog.CatalogService, { getItems: ({ itemIds }) => ({ missingItemIds: itemIds }) }),
    ],
    logger: silentLogger,
    measurements: new Measurements(),
  });
  const onepass = connect(server.address);
  expect((await onepass.recommend({ person: user('u1'), surface: 'home' })).slateId).toBe('userId u1');
  expect((await onepass.recommend({ person: visitor('u1'), surface: 'home' })).slateId).toBe('visitorId u1');
  expect((await onepass.describe({})).role).toBe('gateway');
  expect((await onepass.getItems({ itemIds: ['a'] })).missingItemIds).toEqual(['a']);
  const logged = await onepass.logActions({ person: user('u1'), events: [{ eventId: 'e' }] });
  expect(logged.results[0]).toMatchObject({ eventId: 'e', status: EventResult_Status.ACCEPTED });
  const refused = await onepass.recommend({ surface: 'attic' }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(OnepassError);
  expect(refused).toMatchObject({
    kind: 'invalid_argument',
    detail: { violations: [{ field: 'surface', description: 'is unknown' }] },
  });
  await expect(onepass.recommend({ surface: 'home', pageSize: Number.NaN })).rejects.toMatchObject({
    kind: 'invalid_argument',
    message: expect.stringContaining('page_size'),
  });
  onepass.close();
  const closed = await onepass.describe({}).catch((error: unknown) => error);
  expect(closed).toBeInstanceOf(OnepassError);
  expect(closed).toMatchObject({ kind: 'unavailable', message: 'the connection is closed' });
  await server.stop(0);
});

test('TLS by files: a wrong one is named at once, and the server is verified', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'onepass-client-'));
  const authority = createAuthority('Test CA');
  writeBundle(directory, [authority]);
  writeCertificates(directory, authority, ['gateway', 'frontend']);
  const [ca, cert, key] = [CA_FILE, 'frontend.crt', 'frontend.key'].map((name) => join(directory, name));
  const server = await startServer({
    role: 'gateway',
    host: '127.0.0.1',
    port: 0,
    services: [implement(RecommendationService, { describe: () => ({ role: 'gateway' }) })],
    logger: silentLogger,
    measurements: new Measurements(),
    transport: transportOf({
      ONEPASS_TLS_CERT: join(directory, 'gateway.crt'),
      ONEPASS_TLS_KEY: join(directory, 'gateway.key'),
      ONEPASS_TLS_CA: ca,
    }),
  });
  const onepass = connect(server.address, { tls: { ca: ca!, cert: cert!, key: key! } });
  expect((await onepass.describe({})).role).toBe('gateway');
  onepass.close();
  const misled = connect(server.address, { tls: { ca: ca!, cert: cert!, key: key!, serverName: 'elsewhere' } });
  await expect(misled.describe({})).rejects.toThrow("elsewhere. is not in the cert's altnames");
  misled.close();
  expect(() => connect('x:1', { tls: { ca: ca!, cert: cert! } })).toThrow(
    'tls.cert and tls.key: one without the other',
  );
  expect(() => connect('x:1', { tls: { ca: '/none' } })).toThrow('tls.ca: cannot be read: ENOENT');
  await server.stop(0);
  rmSync(directory, { recursive: true });
});

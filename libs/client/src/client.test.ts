import {
  EventResult_Status,
  EventService,
  gatewayCatalog,
  implement,
  RecommendationService,
  startServer,
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
  onepass.close();
  await server.stop(0);
});

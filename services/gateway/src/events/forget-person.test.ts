import { once } from 'node:events';
import { openLmdbHistory, openLmdbSlates } from '@onepass/history';
import { personKey } from '@onepass/routing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { errorOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { itemId } from '../testing/world.js';

let mesh: Mesh;
beforeEach(async () => {
  mesh = await startMesh();
});
afterEach(() => mesh.stop());

const ada = personKey(user('ada')) as string;
const forget = (id = 'ada') => mesh.events.forgetPerson({ person: user(id) });
const click = (id: string) =>
  mesh.events.logActions({
    person: user(id),
    events: [{ eventId: 'e', itemId: itemId(1), actions: ['click'], surface: 'home' }],
  });
const home = (id: string, requestId = '') =>
  mesh.recommendation.recommend({ person: user(id), surface: 'home', pageSize: 3, requestId });

test('a person is forgotten in the store, the slates, the gateway and the cell; others are not', async () => {
  await click('ada');
  await click('bea');
  const [page, other] = [await home('ada', 'r1'), await home('bea', 'r1')];
  await mesh.events.logSlate({ person: user('ada'), slateId: page.slateId, items: [{ itemId: itemId(99) }] });
  // Not written yet when it is forgotten.
  await home('ada');
  await forget();
  expect(mesh.encoder.forgotten).toEqual(['ada']);
  expect((await home('ada', 'r1')).slateId).not.toBe(page.slateId);
  expect((await home('bea', 'r1')).slateId).toBe(other.slateId);
  expect((await click('ada')).historySequence).toBe(1n);
  await forget();
  await mesh.stopGateway();
  const history = openLmdbHistory(`${mesh.dataDir}/history`);
  const slates = openLmdbSlates(`${mesh.dataDir}/slates`);
  const persons: (string | undefined)[] = [];
  for await (const person of history.persons()) persons.push(person);
  for await (const { person } of slates.all()) persons.push(person);
  expect(persons).toEqual([personKey(user('bea')), personKey(user('bea'))]);
  await Promise.all([history.close(), slates.close()]);
});

test('a page under way while its person is forgotten leaves nothing', async () => {
  let open!: () => void;
  const held = new Promise<void>((resolve) => {
    open = resolve;
  });
  mesh.encoder.before = () => held;
  const page = home('ada', 'r1');
  await expect.poll(() => mesh.encoder.requests.length).toBe(1);
  await forget();
  open();
  const { slateId } = await page;
  expect((await errorOf(mesh.events.logSlate({ person: user('ada'), slateId, items: [{ itemId: 'x' }] })))[0]).toBe(
    'not_found',
  );
  expect((await home('ada', 'r1')).slateId).not.toBe(slateId);
});

test('what is not done yet is named, and asking again does it', async () => {
  await click('ada');
  mesh.encoder.beforeForget = () => {
    throw new TypeError('secret');
  };
  expect(await errorOf(forget())).toEqual(['unavailable', 'not forgotten yet: the KV of 1 of 1 cells; ask again']);
  mesh.encoder.beforeForget = async ({ signal }) => {
    await once(signal, 'abort');
    throw signal.reason;
  };
  const late = mesh.events.forgetPerson({ person: user('ada') }, { deadlineMs: Date.now() + 200 });
  expect((await errorOf(late))[0]).toMatch(/^(unavailable|deadline_exceeded)$/);
  mesh.encoder.beforeForget = () => {};
  await forget();
  await forget();
  expect(mesh.encoder.forgotten).toEqual(['ada', 'ada']);
  const history = openLmdbHistory(`${mesh.dataDir}/history`);
  expect(await history.head(ada)).toEqual({ sequence: 0, hash: 0n });
  await history.close();
});

test('nobody cannot be forgotten', async () => {
  const nobody = mesh.events.forgetPerson({});
  expect(await errorOf(nobody)).toEqual(['invalid_argument', 'person: must name a user or a visitor']);
  expect((await errorOf(forget('')))[1]).toBe('person.user_id: must not be empty');
});

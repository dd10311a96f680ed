import { Degraded_Reason } from '@onepass/contracts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { errorOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { itemId } from '../testing/world.js';

let mesh: Mesh;
beforeEach(async () => {
  mesh = await startMesh();
});
afterEach(() => mesh.stop());

const request = { surface: 'home', pageSize: 3, requestId: 'r' } as const;
const home = (more: object = {}, options: object = {}) =>
  mesh.recommendation.recommend({ ...request, person: user('ada'), ...more }, options);

/** Holds the encoder until it is let go; `taken` resolves when a request has come to it. */
function holdEncoder() {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const taken = new Promise<void>((resolve) => {
    mesh.encoder.before = async (_, call) => {
      resolve();
      await Promise.race([held, new Promise((_, reject) => call.signal.addEventListener('abort', reject))]);
    };
  });
  return { taken, release };
}

test('repeats while the first is under way are the same page, made once', async () => {
  const encoder = holdEncoder();
  const pages = [home()];
  await encoder.taken;
  pages.push(home(), home());
  encoder.release();
  const [first, ...repeats] = await Promise.all(pages);
  expect(repeats).toEqual([first, first]);
  expect([mesh.encoder, mesh.retrieval, mesh.ranking].map((stage) => stage.requests.length)).toEqual([1, 1, 1]);
});

test('a repeat of a request whose caller gave up is served', async () => {
  const encoder = holdEncoder();
  const gone = new AbortController();
  const first = home({}, { signal: gone.signal });
  await encoder.taken;
  const repeat = home();
  gone.abort();
  expect((await errorOf(first))[0]).toBe('cancelled');
  encoder.release();
  const page = await repeat;
  expect(page.items).toHaveLength(3);
  expect(await home()).toEqual(page);
});

test('a degraded page is the page of its request id, also when all is well again', async () => {
  mesh.ranking.fail(new Error('broken'));
  const degraded = await home();
  expect(degraded.degraded.map((d) => d.reason)).toEqual([Degraded_Reason.RANKING]);
  mesh.ranking.before = () => {};
  expect(await home()).toEqual(degraded);
  expect((await home({ requestId: 'another' })).degraded).toEqual([]);
});

test('a request id is one person’s: others, a visitor of the same name and nobody have pages of their own', async () => {
  const pages = [
    await home(),
    await home({ person: user('eve') }),
    await home({ person: { id: { case: 'visitorId', value: 'ada' } } }),
    await home({ person: undefined }),
  ];
  expect(new Set(pages.map((page) => page.slateId)).size).toBe(4);
  expect(await home({ person: undefined })).toEqual(pages[3]);
});

test('what was made before a person was forgotten is not answered after', async () => {
  const before = await home();
  await mesh.events.forgetPerson({ person: user('ada') });
  expect((await home()).slateId).not.toBe(before.slateId);
});

test('a write between two tries changes nothing: a retry gets the same slate', async () => {
  const first = await home();
  const event = { eventId: 'e', itemId: itemId(99), actions: ['click'], surface: 'home' };
  await mesh.events.logActions({ person: user('ada'), events: [event] });
  expect(await home()).toEqual(first);
});

test('each gateway remembers its own', async () => {
  const other = await startMesh({ dataDir: mesh.dataDir });
  const pages = [await home(), await other.recommendation.recommend({ ...request, person: user('ada') })];
  expect(pages[0]?.items).toEqual(pages[1]?.items);
  expect(pages[0]?.slateId).not.toBe(pages[1]?.slateId);
  await other.stop();
});

import { EmbeddingType, Mode, View } from '@onepass/contracts';
import { encodeEmbedding } from '@onepass/embeddings';
import { type LoggedSlate, openLmdbSlates, type SlateStore } from '@onepass/history';
import { personKey } from '@onepass/routing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { errorOf, idsOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { DIMENSION, itemId, RELEASE_ID } from '../testing/world.js';

let mesh: Mesh;
let store: SlateStore;
beforeEach(async () => {
  mesh = await startMesh();
  store = openLmdbSlates(`${mesh.dataDir}/slates`);
});
afterEach(async () => {
  await store.close();
  await mesh.stop();
});

const ada = personKey(user('ada')) as string;
const home = (more: object = {}) =>
  mesh.recommendation.recommend({ person: user('ada'), surface: 'home', pageSize: 3, ...more });
const log = (slateId: string, items: object[], more: object = {}) =>
  mesh.events.logSlate({ person: user('ada'), slateId, items, ...more });
const seen = (itemId: string, more: object = {}) => ({ itemId, visible: true, ...more });

/** All there are, once what waited is written. */
async function recorded(): Promise<LoggedSlate[]> {
  await mesh.stopGateway();
  const slates: LoggedSlate[] = [];
  for await (const slate of store.all()) slates.push(slate);
  return slates;
}

test('a served page is recorded with all its numbers, whatever the view shows', async () => {
  const page = await home({ view: View.BASIC, features: { hour: 8.1 } });
  const [slate] = await recorded();
  expect(slate).toMatchObject({
    slateId: page.slateId,
    person: ada,
    surface: 'home',
    historySequence: 7,
    historyHash: 9n,
    releaseId: RELEASE_ID,
    foreign: false,
    degraded: [],
    actions: ['click', 'hide'],
    relatedItemIds: [],
    features: { hour: 8.1 },
    outcomes: [],
  });
  expect(slate?.items.map((item) => item.itemId)).toEqual(idsOf(page));
  expect(slate?.items[1]).toEqual({
    itemId: itemId(98),
    position: 1,
    utility: page.items[1]!.utility,
    probabilities: [98 / 128, 0],
  });
  expect(Math.abs(Date.now() - slate!.timeMs)).toBeLessThan(60_000);
});

test('a slate says what its page was about, and where on the chain it stands', async () => {
  const query = Float32Array.of(1, 0.25, 0, 0);
  expect(query).toHaveLength(DIMENSION);
  await home({ surface: 'related', context: { case: 'related', value: { itemIds: [itemId(4)] } } });
  const embedding = encodeEmbedding(query, EmbeddingType.F16);
  const first = await home({
    surface: 'search',
    context: { case: 'search', value: { query: { case: 'embedding', value: embedding } } },
  });
  await home({
    surface: 'search',
    context: { case: 'search', value: { query: { case: 'embedding', value: embedding } } },
    pageToken: first.nextPageToken,
  });
  const [related, search, next] = await recorded();
  expect(related).toMatchObject({ surface: 'related', relatedItemIds: [itemId(4)], queryEmbedding: undefined });
  expect(search).toMatchObject({ surface: 'search', relatedItemIds: [], queryEmbedding: query });
  expect(next?.items.map((item) => item.position)).toEqual([3, 4, 5]);
});

test('a repeated request id, a replay and scores alone leave no second slate', async () => {
  const [one, two] = [await home({ requestId: 'r1' }), await home({ requestId: 'r1' })];
  expect(two.slateId).toBe(one.slateId);
  await home({ asOfMs: 1_700_000_000_000n });
  await home({ mode: Mode.SCORE_ONLY, pageSize: 0, externalCandidates: [{ itemId: itemId(3) }] });
  expect((await recorded()).map((slate) => slate.slateId)).toEqual([one.slateId]);
});

test('a degraded page says so, and that no history made it', async () => {
  mesh.encoder.fail(new TypeError('broken'));
  await home();
  mesh.ranking.fail(new TypeError('broken'));
  await home({ person: user('bea') });
  const slates = await recorded();
  const [popular, unranked] = [slates.find((s) => s.person === ada), slates.find((s) => s.person !== ada)];
  expect(popular).toMatchObject({ degraded: ['ENCODER'], historySequence: 0, historyHash: 0n });
  expect(popular?.actions).toEqual(['click', 'hide']);
  expect(unranked).toMatchObject({
    degraded: ['ENCODER', 'RANKING'],
    actions: [],
    items: [{ probabilities: [] }, {}, {}],
  });
});

test('outcomes of a slate that was served a moment ago', async () => {
  const { slateId, items } = await home();
  const ids = items.map((item) => item.itemId);
  const reply = await log(slateId, [seen(ids[1]!, { actions: ['click'] }), seen('elsewhere')]);
  expect(reply).toMatchObject({ historySequence: 7n, unknownItemIds: ['elsewhere'] });
  await log(slateId, [seen(ids[0]!), seen(ids[1]!, { position: 1, actions: ['click', 'save'] })]);
  const slate = await store.get(ada, slateId);
  expect(slate?.outcomes).toEqual([
    { itemId: ids[0], position: 0, visible: true, actions: [] },
    { itemId: ids[1], position: 1, visible: true, actions: ['click', 'save'] },
  ]);
  expect(await errorOf(log(slateId, [seen(ids[1]!, { position: 2 })]))).toEqual([
    'invalid_argument',
    'items[0].position: is 2, the slate has the item at 1',
  ]);
});

test('a slate of another person, or of nobody, is not this person’s', async () => {
  const { slateId } = await home();
  const nobody = await home({ person: undefined });
  const notFound = ['not_found', expect.stringMatching(/^slate_id: no such slate was served to this person/)];
  expect(await errorOf(log(slateId, [seen('x')], { person: user('bea') }))).toEqual(notFound);
  expect(await errorOf(log(slateId, [seen('x')], { person: undefined }))).toEqual(notFound);
  expect(await errorOf(log(nobody.slateId, [seen('x')]))).toEqual(notFound);
  const reply = await log(nobody.slateId, [seen(nobody.items[2]!.itemId)], { person: undefined });
  expect(reply.unknownItemIds).toEqual([]);
  expect((await store.get(undefined, nobody.slateId))?.outcomes).toMatchObject([{ position: 2 }]);
});

test('a foreign slate is kept with the history as it is', async () => {
  const events = [{ eventId: 'e1', itemId: itemId(1), actions: ['click'], surface: 'home' }];
  await mesh.events.logActions({ person: user('ada'), events });
  const items = [seen('theirs-1', { position: 4 }), { itemId: itemId(2), position: 2, actions: ['hide'] }];
  const features = { mood: -0.5 };
  const foreign = { surface: 'home', timeMs: 1_700_000_000_000n, foreign: true, features };
  expect(await log('f-1', items, foreign)).toMatchObject({ historySequence: 1n, unknownItemIds: [] });
  await mesh.events.logActions({ person: user('ada'), events: [{ ...events[0], eventId: 'e2' }] });
  // Told again: what was kept first stays, its outcomes are new.
  const again = await log('f-1', [seen(itemId(2), { position: 2 }), seen('new', { position: 9 })], foreign);
  expect(again).toMatchObject({ historySequence: 1n, unknownItemIds: ['new'] });
  expect(await store.get(ada, 'f-1')).toMatchObject({
    foreign: true,
    releaseId: '',
    timeMs: 1_700_000_000_000,
    historySequence: 1,
    features,
    items: [{ itemId: 'theirs-1' }, { itemId: itemId(2) }],
    outcomes: [
      { itemId: itemId(2), position: 2, visible: true, actions: [] },
      { itemId: 'theirs-1', position: 4, visible: true, actions: [] },
    ],
  });
  const { slateId } = await home();
  expect(await errorOf(log(slateId, [seen('x')], foreign))).toEqual([
    'invalid_argument',
    'foreign: is set, but the slate was served here',
  ]);
  expect((await errorOf(log(slateId, [seen('x')], { features })))[1]).toBe(
    'features: are known of what was served: only a foreign slate brings them',
  );
  expect((await errorOf(log('f-1', [seen('x')])))[1]).toBe('foreign: must be set: the slate was logged so before');
  expect((await errorOf(log(slateId, [seen('x')], { surface: 'search' })))[1]).toBe(
    'surface: is "search", the slate was on "home"',
  );
});

test('everything wrong with a slate is said at once, and nothing is written', async () => {
  const long = 'x'.repeat(129);
  const items = [
    { itemId: '', position: 1 },
    { itemId: long, position: 1, actions: [''] },
    { itemId: 'a', position: 2, actions: Array(17).fill('click') },
    { itemId: 'a', position: 3 },
  ];
  const wrong = log(long, items, {
    person: user(''),
    surface: 'attic',
    timeMs: 9_000_000_000_000_000n,
    foreign: true,
    features: { age: Number.NaN },
  });
  const [kind, sentence] = await errorOf(wrong);
  expect(kind).toBe('invalid_argument');
  for (const field of [
    'person.user_id: must not be empty',
    'slate_id: is 129 bytes long',
    'surface: "attic" is not one of home, search, related',
    'time_ms: lies',
    'items[0].item_id: must not be empty',
    'items[1].item_id: is 129 bytes long',
    'items[1].position: 1 is that of items[0] too',
    'items[1].actions[0]: must not be empty',
    'items[2].actions: has 17 entries, must have 0 to 16',
    'items[3].item_id: is that of items[2] again',
    'features["age"]: must be a finite number',
  ]) {
    expect(sentence).toContain(field);
  }
  expect((await errorOf(log('s', [])))[1]).toBe('items: has 0 entries, must have 1 to 1000');
  expect((await errorOf(log('s', Array(1_001).fill(seen('a')))))[1]).toBe(
    'items: has 1001 entries, must have 1 to 1000',
  );
  expect(await recorded()).toEqual([]);
});

test('with recording off, pages leave no slate, and foreign ones are still taken', async () => {
  await mesh.stop();
  mesh = await startMesh({ slates: 'off' });
  store = openLmdbSlates(`${mesh.dataDir}/slates`);
  const { slateId } = await home();
  expect((await errorOf(log(slateId, [seen('x')])))[0]).toBe('not_found');
  await log('f-1', [seen('x')], { surface: 'home', foreign: true });
  expect((await recorded()).map((slate) => slate.slateId)).toEqual(['f-1']);
});

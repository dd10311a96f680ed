import { EventResult_Status, Operation } from '@onepass/contracts';
import { openLmdbHistory } from '@onepass/history';
import { personKey } from '@onepass/routing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { itemId } from '../testing/world.js';

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(() => mesh.stop());

const click = (eventId: string, more: object = {}) => ({
  eventId,
  itemId: itemId(1),
  actions: ['click'],
  surface: 'home',
  ...more,
});
const log = (id: string, ...events: object[]) => mesh.events.logActions({ person: user(id), events });
const statuses = async (reply: ReturnType<typeof log>) =>
  (await reply).results.map((r) => [r.eventId, EventResult_Status[r.status], r.reason]);

test('an acknowledged action is in the store, in order, for another process to read', async () => {
  const reply = await log('ada', click('a', { slateId: 's-1', position: 3 }), click('b', { itemId: itemId(2) }));
  expect(reply).toMatchObject({ historySequence: 2n, results: [{ sequence: 1n }, { sequence: 2n }] });
  const reader = openLmdbHistory(`${mesh.dataDir}/history`);
  const { head, events } = await reader.latest(personKey(user('ada')) as string, 10);
  expect(head.sequence).toBe(2);
  expect(events).toMatchObject([{ itemId: itemId(1), slateId: 's-1', position: 3 }, { itemId: itemId(2) }]);
  await reader.close();
});

test('each event is answered for itself', async () => {
  const now = Date.now();
  const reply = log(
    'bob',
    click('a', { timeMs: BigInt(now - 86_400_000) }),
    click('a'),
    click('b', { itemId: 'not yet' }),
    click('c', { surface: 'attic' }),
    click('d', { actions: ['click', 'wink'] }),
    click('e', { timeMs: BigInt(now + 600_000) }),
    { eventId: 'zz', operation: Operation.RETRACT },
    { eventId: 'a', operation: Operation.RETRACT },
    click('f', { itemId: '', queryText: 'boats', surface: 'search' }),
  );
  expect(await statuses(reply)).toEqual([
    ['a', 'ACCEPTED', ''],
    ['a', 'DUPLICATE', ''],
    ['b', 'PENDING_ITEM', ''],
    ['c', 'REFUSED', 'surface: "attic" is not one of home, search, related'],
    ['d', 'ACCEPTED', 'kept; the release does not know the action "wink"'],
    ['e', 'REFUSED', expect.stringMatching(/^time_ms lies \d+ ms ahead/)],
    ['zz', 'REFUSED', expect.stringContaining('event_id')],
    ['a', 'ACCEPTED', ''],
    ['f', 'ACCEPTED', ''],
  ]);
  expect((await reply).historySequence).toBe(5n);
});

test('a request of refused events only says where the history is', async () => {
  await log('eve', click('a'));
  const reply = await log('eve', click('b', { surface: '' }));
  expect(reply).toMatchObject({ historySequence: 1n, results: [{ status: EventResult_Status.REFUSED, sequence: 0n }] });
});

const long = 'x'.repeat(129);
const wrong: [name: string, request: object, message: string | RegExp][] = [
  ['nobody', { events: [click('a')] }, 'person: must name a user or a visitor'],
  ['long person', { person: user(long), events: [click('a')] }, /^person\.user_id: /],
  ['no events', { events: [] }, 'events: has 0 entries, must have 1 to 1000'],
  ['many events', { events: Array(1001).fill(click('a')) }, 'events: has 1001 entries, must have 1 to 1000'],
  ['no event id', { events: [click('a'), click('')] }, 'events[1].event_id: must not be empty'],
  ['long event id', { events: [click(long)] }, 'events[0].event_id: is 129 bytes long, the limit is 128'],
  ['no item', { events: [click('a', { itemId: '' })] }, 'events[0].item_id: must not be empty'],
  ['long item', { events: [click('a', { itemId: long })] }, /^events\[0\]\.item_id: is 129 bytes/],
  ['item and query', { events: [click('a', { queryText: 'q' })] }, /^events\[0\]\.query_text: stands instead/],
  [
    'long query',
    { events: [click('a', { itemId: '', queryText: 'x'.repeat(1025) })] },
    /^events\[0\]\.query_text: is over/,
  ],
  ['no actions', { events: [click('a', { actions: [] })] }, 'events[0].actions: has 0 entries, must have 1 to 16'],
  ['many actions', { events: [click('a', { actions: Array(17).fill('click') })] }, /^events\[0\]\.actions: has 17/],
  ['long action', { events: [click('a', { actions: [long] })] }, /^events\[0\]\.actions\[0\]: is 129 bytes/],
  ['long slate', { events: [click('a', { slateId: long })] }, /^events\[0\]\.slate_id: is 129 bytes/],
  ['operation', { events: [click('a', { operation: 9 })] }, 'events[0].operation: 9 is not an operation'],
];

test.each(wrong)('%s: refused as a whole, nothing written', async (name, request, message) => {
  const person = user(`wrong ${name}`);
  const [kind, sentence] = await errorOf(mesh.events.logActions({ ...(name !== 'nobody' && { person }), ...request }));
  expect(kind).toBe('invalid_argument');
  if (typeof message === 'string') expect(sentence).toBe(message);
  else expect(sentence).toMatch(message);
  expect((await mesh.events.logActions({ person, events: [click('first')] })).historySequence).toBe(1n);
});

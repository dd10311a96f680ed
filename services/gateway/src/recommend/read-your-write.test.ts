import { Degraded_Reason, type RecommendResponse } from '@onepass/contracts';
import { unavailable } from '@onepass/errors';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { errorOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { itemId } from '../testing/world.js';

/** Two gateways before one history. */
let mesh: Mesh;
let other: Mesh;
beforeEach(async () => {
  mesh = await startMesh();
  other = await startMesh({ dataDir: mesh.dataDir });
});
afterEach(async () => {
  await other.stop();
  await mesh.stop();
});

const click = (at: Mesh, eventId: string) =>
  at.events.logActions({
    person: user('ada'),
    events: [{ eventId, itemId: itemId(1), actions: ['click'], surface: 'home' }],
  });
const home = (minimumHistorySequence: bigint, more: object = {}) =>
  mesh.recommendation.recommend({ person: user('ada'), surface: 'home', minimumHistorySequence, ...more });
const told = (page: RecommendResponse) => ({
  reasons: page.degraded.map((d) => Degraded_Reason[d.reason]),
  sequence: page.historySequence,
  warnings: page.warnings,
});
const notSeen = (sequence: number) => [
  `the page has not seen minimum_history_sequence: it is made from sequence ${sequence}`,
];

test('what the other gateway took is seen; what nobody took is the caller’s mistake', async () => {
  for (let i = 1; i <= 10; i++) {
    const { historySequence } = await click(other, `e${i}`);
    await home(historySequence);
    expect(mesh.encoder.last.minimumHistorySequence).toBe(BigInt(i));
  }
  expect(await errorOf(home(11n))).toEqual([
    'invalid_argument',
    "minimum_history_sequence: is 11, the person's history is at 10",
  ]);
});

test('a write that is under way is waited for', async () => {
  // Not for long, and a busy machine may take longer to write.
  let turn = 0;
  await vi.waitFor(async () => {
    const person = user(`ada ${turn++}`);
    const page = mesh.recommendation.recommend({ person, surface: 'home', minimumHistorySequence: 1n });
    const event = { eventId: 'e', itemId: itemId(1), actions: ['click'], surface: 'home' };
    await Promise.all([page, other.events.logActions({ person, events: [event] })]);
  });
});

test('an encoder that stays behind: the page says that it has not seen the write, and what it is made from', async () => {
  await click(other, 'e');
  mesh.encoder.fail(unavailable('the history ends at sequence 0, asked for was 1'));
  expect(told(await home(1n))).toEqual({ reasons: ['ENCODER'], sequence: 0n, warnings: notSeen(0) });
  // What was acted on is not shown again all the same.
  expect(mesh.retrieval.last).toMatchObject({ excludedItemIds: [itemId(1)] });
  expect(told(await home(0n))).toEqual({ reasons: ['ENCODER'], sequence: 0n, warnings: [] });
});

test('an encoder that cannot read the history: the same, from what it held', async () => {
  for (let i = 1; i <= 8; i++) await click(other, `e${i}`);
  mesh.encoder.degraded = [{ reason: Degraded_Reason.HISTORY, detail: 'the store was late' }];
  expect(told(await home(8n))).toEqual({ reasons: ['HISTORY'], sequence: 7n, warnings: notSeen(7) });
  expect(told(await home(7n))).toEqual({ reasons: ['HISTORY'], sequence: 7n, warnings: [] });
});

test('an encoder that claims more than it has seen is not believed', async () => {
  await click(other, 'e');
  mesh.encoder.historySequence = 0n;
  expect(told(await home(1n))).toEqual({ reasons: ['ENCODER'], sequence: 0n, warnings: notSeen(0) });
});

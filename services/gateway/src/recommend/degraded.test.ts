import { Degraded_Reason, EmbeddingType, KvSource, Mode, type RecommendResponse, View } from '@onepass/contracts';
import { encodeEmbedding } from '@onepass/embeddings';
import { invalidArgument, kvMiss, OnepassError, releaseMismatch } from '@onepass/errors';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cellLine, errorOf, idsOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { itemId, POPULAR } from '../testing/world.js';

/** Deadline of calls that run into a stage that hangs: the ones after it get a quarter of it, the page a twentieth, on a busy machine. */
const LATE_MS = 6_000;

let mesh: Mesh;
beforeEach(async () => {
  budgetMs = Number.POSITIVE_INFINITY;
  mesh = await startMesh();
  await mesh.events.logActions({
    person: user('ada'),
    events: [{ eventId: 'e', itemId: itemId(99), actions: ['click'], surface: 'home' }],
  });
});
afterEach(() => mesh.stop());

let budgetMs = Number.POSITIVE_INFINITY;
const home = (more: object = {}) => {
  const options = { deadlineMs: Date.now() + budgetMs };
  return mesh.recommendation.recommend({ person: user('ada'), surface: 'home', pageSize: 3, ...more }, options);
};
const ids = (...numbers: number[]) => numbers.map(itemId);
const degradedOf = (page: RecommendResponse) => page.degraded.map((d) => [Degraded_Reason[d.reason], d.detail]);
const seaOnly = [{ attribute: 'topic', condition: { case: 'anyOf', value: { values: ['sea'] } } }];

function hang(stage: { hang(): void }): void {
  budgetMs = LATE_MS;
  stage.hang();
}

type Stage = 'encoder' | 'retrieval' | 'ranking';
type Break = [what: string, of: (stage: Mesh[Stage]) => unknown, detail: string];
const breaks: Break[] = [
  ['down', (stage) => stage.stop(), 'cannot be reached'],
  ['late', (stage) => stage.fail(new OnepassError({ kind: 'deadline_exceeded' }, 'too late')), 'was late'],
  [
    'overloaded',
    (stage) => stage.fail(new OnepassError({ kind: 'overloaded', retryAfterMs: 9 }, 'busy')),
    'is overloaded',
  ],
  ['of another release', (stage) => stage.fail(releaseMismatch('r-2', 'r-1', 'it')), 'serves another release'],
  ['answering another release', (stage) => Object.assign(stage, { releaseId: 'r-2' }), 'serves another release'],
  ['refusing our request', (stage) => stage.fail(invalidArgument('queries', 'are wrong')), 'failed'],
  ['defective', (stage) => stage.fail(new TypeError('secret')), 'failed'],
];

test.each(breaks)('ranking %s: retrieval order', async (_, of, detail) => {
  await of(mesh.ranking);
  const page = await home();
  expect(idsOf(page)).toEqual(ids(0, 1, 2));
  expect(degradedOf(page)).toEqual([['RANKING', `ranking ${detail}`]]);
  expect(page.items[1]).toMatchObject({ utility: 1 - 1 / 128, probabilities: [] });
  expect([page.kvSource, page.nextPageToken]).toEqual([KvSource.UNSPECIFIED, expect.stringMatching(/./)]);
});

test.each(breaks)('encoder %s: the popular list, ranked without a past, nothing acted on', async (_, of, detail) => {
  await of(mesh.encoder);
  const page = await home({ view: View.EXPLAIN });
  expect(idsOf(page)).toEqual(ids(98, 97, 96));
  expect(degradedOf(page)).toEqual([['ENCODER', `the user-encoder ${detail}`]]);
  expect(page.items[0]).toMatchObject({ sources: [{ name: 'popular', rank: 0 }], probabilities: [98 / 128, 0] });
  expect(page).toMatchObject({ kvSource: KvSource.EMPTY, historySequence: 0n, explanation: { seenItems: 1 } });
  expect(mesh.retrieval.last).toMatchObject({ popularSurface: 'home', excludedItemIds: ids(99) });
  expect(mesh.ranking.last).toMatchObject({ kv: { length: 0 }, context: { surface: 'home' } });
});

test.each(breaks)("retrieval %s: the gateway's own popular list, ranked", async (_, of, detail) => {
  await of(mesh.retrieval);
  mesh.encoder.seen = ids(99);
  const page = await home({
    excludedItemIds: ids(98),
    diversity: { windows: [{ attribute: 'topic', window: 2, maximum: 1 }] },
  });
  expect(idsOf(page)).toEqual(ids(97, 96, 95));
  expect(degradedOf(page)).toEqual([['RETRIEVAL', `retrieval ${detail}`]]);
  expect(page.items[0]).toMatchObject({ sources: [{ name: 'popular', rank: 2 }], utility: 97 / 128 });
  const next = await home({ excludedItemIds: ids(98), pageToken: page.nextPageToken });
  expect(idsOf(next)).toEqual(ids(94, 93, 92));
  expect(await errorOf(home({ filters: seaOnly }))).toEqual([
    'unavailable',
    `retrieval ${detail}, and the filters cannot be evaluated without it`,
  ]);
});

test("retrieval down: the popular list keeps to the request's number of candidates", async () => {
  await mesh.retrieval.stop();
  await home({ candidates: 5, pageSize: 5 });
  expect(mesh.ranking.last.candidates?.values).toHaveLength(5 * 4 * 2);
});

test('retrieval down and every popular item excluded: unavailable, not an empty page', async () => {
  await mesh.retrieval.stop();
  const excludedItemIds = POPULAR.map((item) => item.id);
  expect(await errorOf(home({ excludedItemIds }))).toEqual([
    'unavailable',
    'retrieval cannot be reached, and no popular item is left to show',
  ]);
});

test('retrieval that finds nothing without a reason is taken as failed', async () => {
  mesh.retrieval.items = [];
  expect(degradedOf(await home())).toEqual([['RETRIEVAL', 'retrieval cannot be reached']]);
});

test('a stage that hangs leaves the next one time to answer', async () => {
  hang(mesh.retrieval);
  mesh.encoder.seen = ids(99);
  const page = await home();
  expect(idsOf(page)).toEqual(ids(98, 97, 96));
  expect(degradedOf(page)).toEqual([['RETRIEVAL', 'retrieval was late']]);
});

test('everything late: the popular list, within the deadline', async () => {
  for (const stage of [mesh.encoder, mesh.retrieval, mesh.ranking]) hang(stage);
  // The call itself would fail were the answer past its deadline.
  const page = await home();
  expect(idsOf(page)).toEqual(ids(98, 97, 96));
  expect(page.degraded.map((d) => d.reason)).toEqual([
    Degraded_Reason.ENCODER,
    Degraded_Reason.RETRIEVAL,
    Degraded_Reason.RANKING,
  ]);
});

test('stages get the time that is left as their deadline', async () => {
  const remaining = new Map<string, number>();
  for (const name of ['encoder', 'retrieval', 'ranking'] as const) {
    mesh[name].before = (_: unknown, call: { remainingMs(): number }) => void remaining.set(name, call.remainingMs());
  }
  budgetMs = 5_000;
  await home();
  expect(remaining.get('encoder')).toBeLessThanOrEqual(5_000 * 0.45);
  expect(remaining.get('retrieval')).toBeLessThanOrEqual(5_000 * 0.7);
  expect(remaining.get('ranking')).toBeLessThanOrEqual(5_000 * 0.95);
});

test('some shards: what the others found, coverage said', async () => {
  mesh.retrieval.coverage = { shardsTotal: 2, shardsAnswered: 1 };
  const page = await home();
  expect(page.items).toHaveLength(3);
  expect(degradedOf(page)).toEqual([['COVERAGE', '1 of 2 shards answered']]);
});

test('a KV miss: encode and rank once more, then retrieval order', async () => {
  mesh.ranking.before = (request) => {
    if (request.kv?.generation === 1n) {
      mesh.encoder.generation = 2n;
      throw kvMiss('the slot was reused');
    }
  };
  const page = await home({ features: { hour: 8 } });
  expect([idsOf(page), page.degraded]).toEqual([ids(99, 98, 97), []]);
  const features = [mesh.encoder, mesh.ranking].map(({ requests }) => requests.map((r) => r.context?.features));
  expect(features).toEqual(Array(2).fill([{ hour: 8 }, { hour: 8 }]));
  expect(page.stages.map((s) => s.stage)).toEqual(['encode', 'retrieve', 'rank', 'encode', 'rank', 'page']);
  mesh.ranking.fail(kvMiss('the slot was reused'));
  mesh.encoder.requests.length = 0;
  expect(degradedOf(await home())).toEqual([['RANKING', 'ranking found no KV']]);
  expect(mesh.encoder.requests).toHaveLength(2);
});

test('ranking that answers no number at all counts as failed; a part of it does not', async () => {
  mesh.ranking.broken = Array.from({ length: 100 }, (_, i) => i);
  expect(degradedOf(await home())).toEqual([['RANKING', 'ranking failed']]);
});

test('what the encoder says of its history is passed on', async () => {
  mesh.encoder.degraded = [{ reason: Degraded_Reason.HISTORY, detail: 'the store was late' }];
  expect(degradedOf(await home())).toEqual([['HISTORY', 'the store was late']]);
});

test('encoder down: a search by embedding is answered by the query itself', async () => {
  await mesh.encoder.stop();
  const value = encodeEmbedding(Float32Array.of(1, 0, 0, 0), EmbeddingType.F32);
  const context = { case: 'search', value: { query: { case: 'embedding', value } } };
  await home({ surface: 'search', context });
  expect(mesh.retrieval.last).toMatchObject({ popularSurface: '', budgets: [{ outcome: 'any', share: 1 }] });
  expect(mesh.ranking.last.context?.embeddings?.dimension).toBe(4);
});

test('encoder down: a search by text is answered by the popular list', async () => {
  await mesh.encoder.stop();
  const context = { case: 'search', value: { query: { case: 'text', value: 'boats' } } };
  const page = await home({ surface: 'search', context });
  expect(degradedOf(page).map(([reason]) => reason)).toEqual(['ENCODER']);
  expect(mesh.retrieval.last).toMatchObject({ popularSurface: 'search', budgets: [] });
});

test('score only: needs ranking, and retrieval for items without an embedding; not the encoder', async () => {
  const scoreOnly = (...externalCandidates: object[]) => home({ mode: Mode.SCORE_ONLY, externalCandidates });
  const own = { itemId: 'mine', embedding: encodeEmbedding(Float32Array.of(1, 0, 0, 0), EmbeddingType.F16) };
  await mesh.encoder.stop();
  await mesh.retrieval.stop();
  expect(idsOf(await scoreOnly(own))).toEqual(['mine']);
  expect((await errorOf(scoreOnly(own, { itemId: itemId(1) })))[0]).toBe('unavailable');
  await mesh.ranking.stop();
  expect(await errorOf(scoreOnly(own))).toEqual([
    'unavailable',
    'ranking cannot be reached, and score only has nothing to answer without it',
  ]);
});

test('retrieval down: external candidates with an embedding still stand beside the popular list', async () => {
  await mesh.retrieval.stop();
  const own = { itemId: 'mine', embedding: encodeEmbedding(Float32Array.of(1, 0, 0, 0), EmbeddingType.F16) };
  const page = await home({ externalCandidates: [own, { itemId: itemId(1) }] });
  expect(idsOf(page)).toEqual(['mine', ...ids(99, 98)]);
  expect(page.degraded).toHaveLength(1);
});

test('the next cell takes over when one cannot be reached', async () => {
  const other = await startMesh({
    cells: [cellLine('127.0.0.1:1', '127.0.0.1:1'), cellLine(mesh.encoder.server.address, mesh.ranking.server.address)],
    retrieval: mesh.retrieval.server.address,
  });
  try {
    for (let i = 0; i < 8; i++) {
      const page = await other.recommendation.recommend({ person: user(`u${i}`), surface: 'home', pageSize: 1 });
      expect([idsOf(page), page.degraded]).toEqual([ids(99), []]);
    }
    await mesh.encoder.stop();
    const page = await other.recommendation.recommend({ person: user('u'), surface: 'home', pageSize: 1 });
    expect(page.degraded.map((d) => d.reason)).toEqual([Degraded_Reason.ENCODER]);
  } finally {
    await other.stop();
  }
});

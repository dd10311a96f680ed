import { Degraded_Reason, Mode, type RecommendResponse } from '@onepass/contracts';
import { kvMiss, OnepassError } from '@onepass/errors';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { cellLine, errorOf, idsOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { EncoderStage } from '../testing/stages.js';
import { itemId } from '../testing/world.js';

/** A gateway whose ranking model has an encoder of its own: `apart`. The stages are those of `stages`. */
let stages: Mesh;
let apart: EncoderStage;
let gateway: Mesh;
beforeEach(async () => {
  stages = await startMesh();
  apart = new EncoderStage();
  await apart.begin();
  apart.generation = 5n;
  apart.historySequence = 8n;
  gateway = await startMesh({
    cells: [
      cellLine(stages.encoder.server.address, stages.ranking.server.address, { rankingEncoder: apart.server.address }),
    ],
    retrieval: stages.retrieval.server.address,
  });
});
afterEach(async () => {
  await gateway.stop();
  await apart.stop();
  await stages.stop();
});

const home = (more: object = {}, options: object = {}) =>
  gateway.recommendation.recommend({ person: user('ada'), surface: 'home', pageSize: 3, ...more }, options);
const ids = (...numbers: number[]) => numbers.map(itemId);
const degradedOf = (page: RecommendResponse) => page.degraded.map((d) => [Degraded_Reason[d.reason], d.detail]);
const asked = async ({ requests }: { readonly requests: readonly unknown[] }) => {
  await vi.waitUntil(() => requests.length > 0, { timeout: 20_000, interval: 5 });
};
const generationsRanked = () => stages.ranking.requests.map(({ kv }) => kv?.generation);

test('both encoders are asked, one for query embeddings and one for the KV that ranking reads', async () => {
  apart.seen = ids(0, 1);
  const page = await home({ features: { hour: 8 } });
  expect([idsOf(page), page.degraded, page.historySequence]).toEqual([ids(99, 98, 97), [], 8n]);
  expect(stages.encoder.last.queries).toHaveLength(2);
  expect(apart.last).toMatchObject({ queries: [], person: user('ada'), context: { features: { hour: 8 } } });
  expect(stages.ranking.last).toMatchObject({ kv: { generation: 5n, length: 2 }, context: { previousMs: 5n } });
  expect(page.stages.map((s) => s.stage).sort()).toEqual(['encode', 'encode', 'page', 'rank', 'retrieve']);
});

test('neither the first encode nor retrieval waits for the second encode', async () => {
  stages.encoder.before = () => asked(apart);
  apart.before = () => asked(stages.retrieval);
  expect(degradedOf(await home())).toEqual([]);
});

test('retrieve only asks for no KV to rank on', async () => {
  await home({ mode: Mode.RETRIEVE_ONLY });
  expect(apart.requests).toEqual([]);
});

test("a KV miss: the ranking model's encoder encodes once more, and only that one", async () => {
  stages.ranking.before = ({ kv }) => {
    if (kv?.generation !== 5n) return;
    apart.generation = 6n;
    throw kvMiss('the slot was reused');
  };
  const page = await home();
  expect([idsOf(page), page.degraded]).toEqual([ids(99, 98, 97), []]);
  expect([stages.encoder, apart].map(({ requests }) => requests.length)).toEqual([1, 2]);
  expect([apart.last.queries, generationsRanked()]).toEqual([[], [5n, 6n]]);
});

test("ranking's own encoder late or down: retrieval order, never a score over the other encoder's KV", async () => {
  apart.fail(new OnepassError({ kind: 'deadline_exceeded' }, 'too late'));
  const page = await home();
  expect([idsOf(page), page.historySequence]).toEqual([ids(0, 1, 2), 7n]);
  expect(degradedOf(page)).toEqual([['RANKING', "ranking's own encoder was late"]]);
  await apart.stop();
  expect(degradedOf(await home())).toEqual([['RANKING', "ranking's own encoder cannot be reached"]]);
  expect(await errorOf(home({ mode: Mode.SCORE_ONLY, externalCandidates: [{ itemId: itemId(1) }] }))).toEqual([
    'unavailable',
    "ranking's own encoder cannot be reached, and score only has nothing to answer without it",
  ]);
  expect(generationsRanked()).toEqual([]);
});

test("the first encoder down: the popular list, ranked on the other's KV", async () => {
  await stages.encoder.stop();
  const page = await home();
  expect([idsOf(page), page.historySequence]).toEqual([ids(99, 98, 97), 8n]);
  expect([degradedOf(page).map(([reason]) => reason), generationsRanked()]).toEqual([['ENCODER'], [5n]]);
});

test('a caller that goes leaves nothing behind', async () => {
  apart.hang();
  const leaving = new AbortController();
  const page = errorOf(home({}, { signal: leaving.signal }));
  await asked(stages.retrieval);
  leaving.abort();
  expect((await page)[0]).toBe('cancelled');
  await gateway.stopGateway();
  expect(stages.ranking.requests).toEqual([]);
});

test('a person is forgotten at both', async () => {
  await gateway.events.forgetPerson({ person: user('ada') });
  expect([stages.encoder, apart].map(({ forgotten }) => forgotten)).toEqual([['ada'], ['ada']]);
});

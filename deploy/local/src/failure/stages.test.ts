import { KvSource, Mode } from '@onepass/client';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { BrokenMesh, detailsOf, reasonsOf } from './broken-mesh.suite.js';

let broken: BrokenMesh;
beforeAll(async () => {
  broken = await BrokenMesh.start();
});
afterEach(() => broken.mend());
afterAll(() => broken.end());

test('whole: nothing is degraded, and the same page twice is the same', async () => {
  const page = await broken.page();
  expect(reasonsOf(page)).toEqual([]);
  expect(page.coverage).toMatchObject({ shardsTotal: 2, shardsAnswered: 2 });
  expect((await broken.filteredPage()).kvSource).toBe(KvSource.SLOT);
});

test('ranking killed: retrieval order', async () => {
  await broken.takeDown('ranking');
  const page = await broken.filteredPage();
  expect(detailsOf(page)).toEqual(['RANKING: ranking cannot be reached']);
  expect(page.items[0]?.probabilities).toEqual([]);
});

test('ranking stopped: retrieval order, within the deadline', async () => {
  broken.signal('ranking', 'SIGSTOP');
  expect(detailsOf(await broken.filteredPage())).toEqual(['RANKING: ranking was late']);
});

test('ranking slow, wrong or broken: retrieval order', async () => {
  const flags = ['delay=60000ms', 'nan', 'wrong_release', 'short', 'truncated', 'error=overloaded'];
  await broken.restart('ranking', { ONEPASS_FAULTS: flags.map((flag) => `Rank:${flag}:share=0.15`).join(';') });
  await broken.untilSeen([
    'RANKING: ranking was late',
    'RANKING: ranking failed',
    'RANKING: ranking serves another release',
    'RANKING: ranking is overloaded',
  ]);
});

test('user-encoder killed: the popular list, ranked without a past, without what was acted on', async () => {
  await broken.takeDown('user-encoder');
  const page = await broken.filteredPage();
  expect(detailsOf(page)).toEqual(['ENCODER: the user-encoder cannot be reached']);
  expect(page.items[0]).toMatchObject({ sources: [{ name: 'popular' }] });
  expect([page.kvSource, page.historySequence]).toEqual([KvSource.EMPTY, 0n]);
});

test('user-encoder stopped: the popular list, within the deadline', async () => {
  broken.signal('user-encoder', 'SIGSTOP');
  expect(detailsOf(await broken.filteredPage())).toEqual(['ENCODER: the user-encoder was late']);
});

test('user-encoder slow, wrong or broken: the popular list', async () => {
  const flags = ['hang', 'nan', 'wrong_release', 'short', 'truncated', 'wrong_dimension', 'error=internal'];
  await broken.restart('user-encoder', { ONEPASS_FAULTS: flags.map((flag) => `Encode:${flag}:share=0.12`).join(';') });
  await broken.untilSeen([
    'ENCODER: the user-encoder was late',
    'ENCODER: the user-encoder failed',
    'ENCODER: the user-encoder serves another release',
  ]);
});

test('retrieval killed: the popular list from the gateway; under filters UNAVAILABLE, since they could not hold', async () => {
  await broken.takeDown('retrieval');
  const page = await broken.page();
  expect(detailsOf(page)).toEqual(['RETRIEVAL: retrieval cannot be reached']);
  expect([page.items.length, page.items[0]?.sources[0]?.name]).toEqual([10, 'popular']);
  await expect(broken.filteredPage()).rejects.toMatchObject({
    kind: 'unavailable',
    message: 'retrieval cannot be reached, and the filters cannot be evaluated without it',
  });
});

test('retrieval stopped: the popular list, within the deadline', async () => {
  broken.signal('retrieval', 'SIGSTOP');
  expect(detailsOf(await broken.page())).toEqual(['RETRIEVAL: retrieval was late']);
});

test('retrieval wrong or broken: the popular list; some shards: what the others found, coverage said', async () => {
  const flags = ['Search:nan', 'Search:wrong_dimension', 'Search:wrong_release', 'Leaf0:error=internal', 'Leaf1:hang'];
  await broken.restart('retrieval', { ONEPASS_FAULTS: flags.map((flag) => `${flag}:share=0.2`).join(';') });
  await broken.untilSeen([
    'RETRIEVAL: retrieval failed',
    'RETRIEVAL: retrieval serves another release',
    'COVERAGE: 1 of 2 shards answered',
  ]);
});

test('everything stopped: the popular list, within the deadline', async () => {
  for (const role of ['user-encoder', 'retrieval', 'ranking'] as const) broken.signal(role, 'SIGSTOP');
  expect(reasonsOf(await broken.page())).toEqual(['ENCODER', 'RETRIEVAL', 'RANKING']);
});

test('score only answers nothing rather than something wrong', async () => {
  await broken.takeDown('ranking');
  const scored = broken.page({ mode: Mode.SCORE_ONLY, externalCandidates: [{ itemId: 'i00001' }] });
  await expect(scored).rejects.toMatchObject({ kind: 'unavailable' });
});

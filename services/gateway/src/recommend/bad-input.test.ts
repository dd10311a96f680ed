import { EmbeddingType, Mode } from '@onepass/contracts';
import { encodeEmbedding } from '@onepass/embeddings';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { itemId, RELEASE } from '../testing/world.js';

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(async () => {
  // Nothing wrong got further than the gateway's door.
  for (const stage of [mesh.encoder, mesh.retrieval, mesh.ranking]) expect(stage.requests).toEqual([]);
  await mesh.stop();
});

const embedding = (...numbers: number[]) => encodeEmbedding(Float32Array.from(numbers), EmbeddingType.F32);
const search = (value: object) => ({
  surface: 'search',
  context: { case: 'search', value: { query: { case: 'embedding', value } } },
});
const byText = (value: string) => ({
  surface: 'search',
  context: { case: 'search', value: { query: { case: 'text', value } } },
});
const related = (...itemIds: string[]) => ({ surface: 'related', context: { case: 'related', value: { itemIds } } });
const external = (value: object) => ({ externalCandidates: [{ itemId: 'a' }, { itemId: 'b', embedding: value }] });
const filter = (attribute: string, condition: object) => ({ filters: [{ attribute, condition }] });
const long = 'x'.repeat(129);
const many = (count: number) => Array.from({ length: count }, (_, i) => itemId(i));

const cases: [name: string, request: object, message: string | RegExp][] = [
  [
    'NaN embedding',
    search(embedding(1, Number.NaN, 0, 0)),
    /^search\.embedding\.values: row 0 holds a number that is not/,
  ],
  ['wrong dimension', search(embedding(1, 2)), 'search.embedding.dimension: must be 4, not 2'],
  ['no type', search({ ...embedding(1, 2, 3, 4), type: 0 }), 'search.embedding.type: must be F32, F16 or I8'],
  ['cut embedding', search({ ...embedding(1, 2, 3, 4), values: new Uint8Array(15) }), /^search\.embedding\.values: /],
  ['infinite external', external(embedding(Infinity, 0, 0, 0)), /^external_candidates\[1\]\.embedding\.values: row 0/],
  ['too large external', external(embedding(7e4, 0, 0, 0)), /^external_candidates\[1\]\.embedding\.values: .* 65504$/],
  ['external dimension', external(embedding(1)), 'external_candidates[1].embedding.dimension: must be 4, not 1'],
  ['external id', { externalCandidates: [{}] }, 'external_candidates[0].item_id: must not be empty'],
  [
    'too many externals',
    { externalCandidates: many(301).map((itemId) => ({ itemId })) },
    /^external_candidates: has 301/,
  ],
  ['score only of nothing', { mode: Mode.SCORE_ONLY }, 'external_candidates: score only needs at least one'],
  ['negative page size', { pageSize: -1 }, 'page_size: must be from 0 to 100, is -1'],
  ['page size', { pageSize: 101 }, 'page_size: must be from 0 to 100, is 101'],
  ['negative candidates', { candidates: -1 }, /^candidates: must be from 20 to 300, is -1: the release ranks 300/],
  ['candidates', { candidates: 301 }, /^candidates: must be from 20 to 300, is 301/],
  ['fewer candidates than a page', { candidates: 19 }, /^candidates: must be from 20 to 300, is 19/],
  ['unknown surface', { surface: 'attic' }, 'surface: "attic" is not one of home, search, related'],
  ['no surface', { surface: '' }, 'surface: "" is not one of home, search, related'],
  ['NaN weight', { utilityWeights: { click: Number.NaN } }, /^utility_weights\["click"\]: must be a number/],
  ['unknown action', { utilityWeights: { buy: 1 } }, 'utility_weights["buy"]: is not an action of the release'],
  ['empty budgets', { outcomeBudgets: [{ outcome: 'any' }] }, 'outcome_budgets: the shares sum to nothing'],
  ['unknown outcome', { outcomeBudgets: [{ outcome: 'buy', share: 1 }] }, /^outcome_budgets\[0\]\.outcome: "buy"/],
  [
    'NaN share',
    { outcomeBudgets: [{ outcome: 'any', share: Number.NaN }] },
    /^outcome_budgets\[0\]\.share: must be finite/,
  ],
  ['broken page token', { pageToken: 'AAAA' }, 'page_token: is broken'],
  ['long user id', { person: user(long) }, /^person\.user_id: .*128 bytes/],
  ['empty user id', { person: user('') }, 'person.user_id: must not be empty'],
  ['long request id', { requestId: long }, 'request_id: is 129 bytes long, the limit is 128'],
  ['long excluded id', { excludedItemIds: ['a', long] }, /^excluded_item_ids\[1\]: is 129 bytes/],
  ['long related id', related(long), /^related\.item_ids\[0\]: is 129 bytes/],
  ['unknown related item', related(itemId(1), 'ghost'), 'related.item_ids[1]: "ghost" is not an item of the release'],
  ['related to nothing', related(), 'related.item_ids: has 0 entries, must have 1 to 8'],
  ['related to nine', related(...many(9)), 'related.item_ids: has 9 entries, must have 1 to 8'],
  ['related without context', { surface: 'related' }, /^related\.item_ids: has 0 entries/],
  ['home with context', { ...related(itemId(1)), surface: 'home' }, /^related: does not belong to a page of .* "home"/],
  [
    'search without query',
    { surface: 'search' },
    'search: a page of the surface "search" needs search.text or search.embedding',
  ],
  ['empty text', byText(''), 'search.text: must not be empty'],
  ['text of white space', byText(' \t\u3000'), 'search.text: must not be empty'],
  ['long text', byText('é'.repeat(513)), 'search.text: is 1026 bytes long, the limit is 1024'],
  ['text on home', { ...byText('boats'), surface: 'home' }, /^search: does not belong to a page of the surface "home"/],
  ['unknown feature', { features: { mood: 1 } }, 'features["mood"]: is not a request feature of the release'],
  [
    'feature beyond a row',
    { features: { hour: 1e39 } },
    /^features\["hour"\]: must be a number from -1000000000000000 to/,
  ],
  [
    'wrong feature on the score-only path',
    {
      mode: Mode.SCORE_ONLY,
      externalCandidates: [{ itemId: itemId(1) }],
      features: { hour: Number.POSITIVE_INFINITY },
    },
    'features["hour"]: must be a finite number',
  ],
  ['NaN feature', { features: { hour: Number.NaN } }, 'features["hour"]: must be a finite number'],
  [
    'unknown attribute',
    filter('age', { case: 'range', value: {} }),
    /^filters\[0\]\.attribute: "age" is not an attribute/,
  ],
  ['no condition', filter('topic', {}), 'filters[0]: must have one of any_of, none_of, range'],
  ['any of nothing', filter('topic', { case: 'anyOf', value: {} }), /^filters\[0\]\.any_of\.values: has 0 entries/],
  ['range of a text', filter('topic', { case: 'range', value: {} }), 'filters[0].range: "topic" is not a number'],
  [
    'values of a number',
    filter('price', { case: 'anyOf', value: { values: ['1'] } }),
    /^filters\[0\]\.any_of: "price" is a n/,
  ],
  [
    'NaN range',
    filter('price', { case: 'range', value: { minimum: Number.NaN } }),
    /^filters\[0\]\.range\.minimum: must be/,
  ],
  [
    'empty range',
    filter('price', { case: 'range', value: { minimum: 2, maximum: 1 } }),
    /^filters\[0\]\.range: minimum is/,
  ],
  [
    'diversity',
    { diversity: { windows: [{ attribute: 'topic' }] } },
    /^diversity\.windows\[0\]\.window: must be at least 1/,
  ],
  ['mode', { mode: 9 }, 'mode: 9 is not a mode'],
  ['view', { view: 9 }, 'view: 9 is not a view'],
  ['sequence ahead', { minimumHistorySequence: 5n, person: user('a') }, /^minimum_history_sequence: is 5, .* at 0$/],
  ['sequence of nobody', { minimumHistorySequence: 5n }, 'minimum_history_sequence: needs a person'],
  ['all at once', { pageSize: -1, surface: 'attic' }, /^surface: .*; page_size: /],
  [
    'oversize message',
    { features: Object.fromEntries(many(200_000).map((id) => [id, 1])) },
    /^message: \d+ bytes is over/,
  ],
];

test.each(cases)('%s', async (_, request, message) => {
  const [kind, sentence] = await errorOf(mesh.recommendation.recommend({ surface: 'home', ...request }));
  expect(kind).toBe('invalid_argument');
  if (typeof message === 'string') expect(sentence).toBe(message);
  else expect(sentence).toMatch(message);
});

test('a page token serves nobody else, no other surface and no other filters', async () => {
  const other = await startMesh();
  const recommend = other.recommendation.recommend;
  const token = (await recommend({ surface: 'home', person: user('a') })).nextPageToken;
  const refused = async (request: object) =>
    (await errorOf(recommend({ surface: 'home', pageToken: token, ...request })))[1];
  expect(await refused({ person: user('b') })).toBe('page_token: belongs to another person');
  expect(await refused({})).toBe('page_token: belongs to another person');
  const person = user('a');
  expect(await refused({ person, ...related(itemId(1)) })).toMatch('belongs to another surface, context or mode');
  expect(await refused({ person, mode: Mode.RETRIEVE_ONLY })).toMatch('belongs to another surface, context or mode');
  expect(await refused({ person, ...filter('price', { case: 'range', value: {} }) })).toMatch(
    'belongs to other filters',
  );
  expect(await refused({ person, mode: Mode.SCORE_ONLY, ...external(embedding(1, 0, 0, 0)) })).toMatch(
    'does not apply',
  );
  await other.stop();
});

test('a text needs a release with a query tower', async () => {
  const towerless = await startMesh({}, { ...RELEASE, hasQueryTower: false });
  expect(await errorOf(towerless.recommendation.recommend(byText('boats') as object))).toEqual([
    'unimplemented',
    `search.text needs a release with a query tower, which ${RELEASE.id} has not; give search.embedding`,
  ]);
  await towerless.stop();
});

test('foreign releases are refused with their own status', async () => {
  const pinned = mesh.recommendation.recommend({ surface: 'home', releaseId: 'r-ffffffffffff' });
  expect(await errorOf(pinned)).toEqual([
    'release_mismatch',
    'release_id is of release "r-ffffffffffff", this server serves "r-0123456789ab"',
  ]);
});

import { EmbeddingType } from '@onepass/contracts';
import { encodeEmbedding } from '@onepass/embeddings';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { errorOf, type Mesh, startMesh, user } from '../testing/mesh.js';
import { itemId, itemOf } from '../testing/world.js';

let mesh: Mesh;
beforeEach(async () => {
  mesh = await startMesh();
});
afterEach(() => mesh.stop());

const home = (more: object = {}) => mesh.recommendation.recommend({ person: user('ada'), surface: 'home', ...more });
const own = (id: string) => ({
  itemId: id,
  embedding: encodeEmbedding(Float32Array.of(0.9, 0, 0, 0), EmbeddingType.F32),
});
const windows = [
  { attribute: 'topic', window: 4, maximum: 1 },
  { attribute: 'topic', window: 10, maximum: 3 },
  { attribute: 'price', window: 3, maximum: 1 },
];

/** Ids of a walk over pages, with their positions as they stand. */
async function walk(request: object, pages: number): Promise<string[]> {
  const shown: string[] = [];
  let pageToken = '';
  for (let i = 0; i < pages; i++) {
    const page = await home({ ...request, pageToken });
    expect(page.items.map((item) => item.position)).toEqual(page.items.map((_, j) => shown.length + j));
    expect(page.warnings).toEqual([]);
    shown.push(...page.items.map((item) => item.itemId));
    pageToken = page.nextPageToken;
  }
  return shown;
}

/** Items that the release does not know have no topic. */
function holds(shown: readonly string[]): boolean {
  return windows.every(({ attribute, window, maximum }) =>
    shown.every((_, start) => {
      const items = shown.slice(start, start + window).flatMap((id) => itemOf(id) ?? []);
      const values = items.map((item) => (attribute === 'topic' ? item.topic : item.price));
      return values.every((value) => values.filter((other) => other === value).length <= maximum);
    }),
  );
}

type Break = (stages: Mesh) => void;
const broken = new Error('broken');
const breaks: [string, Break][] = [
  ['whole', () => {}],
  ['in retrieval order', ({ ranking }) => ranking.fail(broken)],
  ['popular', ({ encoder }) => encoder.fail(broken)],
  ['popular by the gateway', ({ retrieval }) => retrieval.fail(broken)],
  ['popular by the gateway, not ranked', ({ retrieval, ranking }) => [retrieval, ranking].map((s) => s.fail(broken))],
];

test.each(breaks)('the windows hold over the pages of a chain: %s', async (_, of) => {
  of(mesh);
  const shown = await walk({ pageSize: 7, diversity: { windows } }, 4);
  expect(shown).toHaveLength(28);
  expect(holds(shown)).toBe(true);
});

test('a chain that turns degraded half way keeps to what it showed before', async () => {
  const request = { pageSize: 5, diversity: { windows } };
  const first = await home(request);
  mesh.retrieval.fail(broken);
  const second = await home({ ...request, pageToken: first.nextPageToken });
  expect(second.degraded).toHaveLength(1);
  const shown = [...first.items, ...second.items].map((item) => item.itemId);
  expect(holds(shown)).toBe(true);
});

test('external candidates are under the rule where the release knows their attributes', async () => {
  const externalCandidates = [own(itemId(44)), own(itemId(49)), own('mine'), own('yours')];
  const shown = await walk({ pageSize: 8, candidates: 10, externalCandidates, diversity: { windows } }, 1);
  expect(shown.slice(0, 6)).toEqual([itemId(44), 'mine', 'yours', itemId(8), itemId(49), itemId(7)]);
  expect(holds(shown)).toBe(true);
});

test('a window that lets nothing stand is refused', async () => {
  const rule = { attribute: 'topic', window: 3, maximum: 0 };
  expect(await errorOf(home({ diversity: { windows: [rule] } }))).toEqual([
    'invalid_argument',
    'diversity.windows[0].maximum: must be at least 1',
  ]);
});

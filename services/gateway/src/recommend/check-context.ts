import { EmbeddingType, type RecommendRequest } from '@onepass/contracts';
import { decodeEmbedding, type EmbeddingBatchFields, encodeEmbeddings } from '@onepass/embeddings';
import { quoted, type Violations } from '@onepass/pages';
import { QUERY_TEXT_BYTES } from '@onepass/release';
import type { ServedRelease } from '../served-release.js';
import { LIMITS } from './limits.js';

export interface CheckedContext {
  readonly relatedItemIds: readonly string[];
  readonly queryEmbedding: EmbeddingBatchFields | undefined;
  /** A search by text, which needs a query tower. */
  readonly queryText: string | undefined;
}

const NO_CONTEXT: CheckedContext = { relatedItemIds: [], queryEmbedding: undefined, queryText: undefined };

/** What the page is about must fit the surface: `search` has a query, `related` has items, any other surface nothing. */
export function checkContext(
  request: RecommendRequest,
  release: ServedRelease,
  violations: Violations,
): CheckedContext {
  const { surface, context } = request;
  if (context.case !== undefined && context.case !== surface) {
    violations.add(context.case, `does not belong to a page of the surface ${quoted(surface)}`);
    return NO_CONTEXT;
  }
  if (surface === 'search') return checkSearch(context, release, violations);
  if (surface === 'related') return checkRelated(context, release, violations);
  return NO_CONTEXT;
}

function checkSearch(
  context: RecommendRequest['context'],
  release: ServedRelease,
  violations: Violations,
): CheckedContext {
  const query = context.case === 'search' ? context.value.query : undefined;
  if (query?.case === undefined) {
    violations.add('search', 'a page of the surface "search" needs search.text or search.embedding');
    return NO_CONTEXT;
  }
  if (query.case === 'text') {
    const bytes = Buffer.byteLength(query.value);
    if (query.value.trim() === '') violations.add('search.text', 'must not be empty');
    if (bytes > QUERY_TEXT_BYTES)
      violations.add('search.text', `is ${bytes} bytes long, the limit is ${QUERY_TEXT_BYTES}`);
    return { ...NO_CONTEXT, queryText: query.value };
  }
  const dimension = release.model.itemDimension;
  const row = violations.attempt(() => decodeEmbedding(query.value, 'search.embedding', dimension));
  return { ...NO_CONTEXT, queryEmbedding: row && encodeEmbeddings(row, dimension, EmbeddingType.F32) };
}

function checkRelated(
  context: RecommendRequest['context'],
  release: ServedRelease,
  violations: Violations,
): CheckedContext {
  const ids = context.case === 'related' ? context.value.itemIds : [];
  violations.count('related.item_ids', ids.length, { minimum: 1, maximum: maximumRelated(release) });
  for (const [i, id] of ids.entries()) {
    violations.id(`related.item_ids[${i}]`, id);
    if (id !== '' && !release.rows.has(id)) {
      violations.add(`related.item_ids[${i}]`, `${quoted(id)} is not an item of the release`);
    }
  }
  return { ...NO_CONTEXT, relatedItemIds: ids };
}

/** Each is a context row. */
function maximumRelated(release: ServedRelease): number {
  return Math.min(LIMITS.relatedItems, release.model.contextRows);
}

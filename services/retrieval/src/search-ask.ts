import { type OutcomeBudget, type retrieval, unpackUint32 } from '@onepass/contracts';
import { decodeEmbeddings } from '@onepass/embeddings';
import { invalidArgument, releaseMismatch } from '@onepass/errors';
import { ID_BYTES, type Vocabulary } from '@onepass/release';
import { allHold, type Refused, type RowTest, refusedRows } from '@onepass/vectors';
import type { ServedIndex } from './served-index.js';

/** A Search that was found good. */
export interface SearchAsk {
  /** By query embeddings, or by the popular list of a surface. */
  readonly by: QueriesAsk | { readonly popular: Uint32Array };
  readonly limit: number;
  readonly refused: Refused | undefined;
  /** Set when asked to explain: what keeps a refused row out. */
  readonly keptOutBy: KeptOutBy | undefined;
  /** Names of attributes to answer. */
  readonly attributes: readonly string[];
}

/** The first filter that does not hold; undefined = the row is excluded. */
export type KeptOutBy = (row: number) => number | undefined;

export interface QueriesAsk {
  /** float32 [q, E]. */
  readonly queries: Float32Array;
  /** [q]; at least one is above 0. */
  readonly shares: readonly number[];
}

/** A page asks with a handful; each costs a search of every shard. */
const MAX_QUERIES = 32;
const MAX_IDS = 1000;

/** @throws OnepassError `invalid_argument` naming the field; `release_mismatch` for a request of another release */
export function parseSearch(request: retrieval.SearchRequest, index: ServedIndex): SearchAsk {
  requireRelease(request.releaseId, index);
  const { maxCandidates } = index.release.manifest.model;
  const { limit } = request;
  if (limit < 1 || limit > maxCandidates)
    throw invalidArgument('limit', `must be from 1 to ${maxCandidates}, not ${limit}`);
  for (const [i, name] of request.attributes.entries()) {
    if (!index.metadata.declared.has(name)) {
      const known = [...index.metadata.declared.keys()].sort().join(', ');
      throw invalidArgument(`attributes[${i}]`, `"${name}" is not one of the release's attributes: ${known}`);
    }
  }
  const filters = index.columns.compile(request.filters, 'filters');
  return {
    by: parseBy(request, index),
    limit,
    refused: refusedRows(index.items.count, excludedRows(request, index), allHold(filters)),
    keptOutBy: request.explain ? keptOutBy(new Set(excludedRows(request, index)), filters) : undefined,
    attributes: request.attributes,
  };
}

function keptOutBy(excluded: ReadonlySet<number>, filters: readonly RowTest[]): KeptOutBy {
  return (row) => (excluded.has(row) ? undefined : filters.findIndex((holds) => !holds(row)));
}

function parseBy(request: retrieval.SearchRequest, { release, items, popular }: ServedIndex): SearchAsk['by'] {
  const { rows, values } = decodeEmbeddings(request.queries, 'queries', items.dimension);
  if (rows > 0 && request.popularSurface !== '') throw invalidArgument('popular_surface', 'must be empty with queries');
  if (request.popularSurface !== '') {
    release.vocabulary.surfaces.require(request.popularSurface, 'popular_surface');
    return { popular: popular.get(request.popularSurface)! };
  }
  if (rows === 0) throw invalidArgument('queries', 'must hold an embedding, unless popular_surface is given');
  if (rows > MAX_QUERIES) throw invalidArgument('queries', `must be at most ${MAX_QUERIES}, not ${rows}`);
  return { queries: values, shares: parseShares(request.budgets, rows, release.vocabulary) };
}

function parseShares(budgets: readonly OutcomeBudget[], rows: number, vocabulary: Vocabulary): number[] {
  if (budgets.length !== rows) {
    throw invalidArgument('budgets', `must be one for each of the ${rows} queries, not ${budgets.length}`);
  }
  const shares = budgets.map(({ outcome, share }, i) => {
    vocabulary.outcomes.require(outcome, `budgets[${i}].outcome`);
    if (!Number.isFinite(share) || share < 0) {
      throw invalidArgument(`budgets[${i}].share`, `must be finite and not negative, not ${share}`);
    }
    return share;
  });
  if (!shares.some((share) => share > 0)) throw invalidArgument('budgets', 'shares must sum to more than 0');
  return shares;
}

/** Ids that the release does not know need no exclusion; a row that it does not have is a mistake. */
function* excludedRows(request: retrieval.SearchRequest, { items }: ServedIndex): Generator<number> {
  for (const row of unpackUint32(request.excludedRows, 'excluded_rows')) {
    if (row >= items.count) throw invalidArgument('excluded_rows', `${row} is not a row of the release`);
    yield row;
  }
  for (const id of request.excludedItemIds) {
    const row = items.rowOf(id);
    if (row !== undefined) yield row;
  }
}

/** A GetItems that was found good. */
export interface ItemsAsk {
  /** Rows of those found that the filters admit, in the order asked for. */
  readonly rows: readonly number[];
  readonly missing: readonly string[];
  readonly filtered: readonly string[];
  /** For each of those: the first filter that does not hold. */
  readonly filteredBy: readonly number[];
}

/** Errors as `parseSearch`. */
export function parseGetItems(request: retrieval.GetItemsRequest, index: ServedIndex): ItemsAsk {
  requireRelease(request.releaseId, index);
  const { itemIds } = request;
  if (itemIds.length < 1 || itemIds.length > MAX_IDS) {
    throw invalidArgument('item_ids', `must be 1 to ${MAX_IDS}, not ${itemIds.length}`);
  }
  const filters = index.columns.compile(request.filters, 'filters');
  const ask = { rows: [] as number[], missing: [] as string[], filtered: [] as string[], filteredBy: [] as number[] };
  for (const [i, id] of itemIds.entries()) {
    if (id === '' || Buffer.byteLength(id) > ID_BYTES) {
      throw invalidArgument(`item_ids[${i}]`, `must be 1 to ${ID_BYTES} bytes`);
    }
    const row = index.items.rowOf(id);
    if (row === undefined) {
      ask.missing.push(id);
      continue;
    }
    const filter = filters.findIndex((holds) => !holds(row));
    if (filter < 0) ask.rows.push(row);
    else {
      ask.filtered.push(id);
      ask.filteredBy.push(filter);
    }
  }
  return ask;
}

function requireRelease(releaseId: string, { release }: ServedIndex): void {
  if (releaseId !== release.id) throw releaseMismatch(release.id, releaseId, 'the request');
}

import type { EncodeRequest, Query, RequestContext } from '@onepass/contracts';
import { decodeEmbeddings } from '@onepass/embeddings';
import { invalidArgument, releaseMismatch, unimplemented } from '@onepass/errors';
import { checkFeatures, Violations } from '@onepass/pages';
import { QUERY_TEXT_BYTES } from '@onepass/release';
import { type PersonKey, personKey, personKeyFromBytes } from '@onepass/routing';
import type { ServedModel } from './served-model.js';

/** A request that was found good, in the release's indices. */
export interface EncodeAsk {
  /** Undefined: nobody in particular. */
  readonly person: PersonKey | undefined;
  /** The context as the caller gave it. */
  readonly context: RequestContext;
  readonly surface: number;
  readonly nowMs: number;
  /** [c, E] of related items or queries; undefined = one context row without an embedding, or with that of `queryText`. */
  readonly embeddings: Float32Array | undefined;
  /** A search's text, which has a token. */
  readonly queryText: string | undefined;
  /** c. */
  readonly contextRows: number;
  readonly queries: readonly AskedQuery[];
  readonly minimumSequence: number;
}

export interface AskedQuery {
  readonly outcome: number;
  readonly offsetMs: number;
}

/** Each is one row of the retrieval head's batch. */
const MAX_QUERIES = 32;

/**
 * @throws OnepassError `invalid_argument` naming the field; `release_mismatch` for a request of another release; `unimplemented` for a
 * text without a query tower.
 */
export function parseEncodeRequest(request: EncodeRequest, model: ServedModel): EncodeAsk {
  if (request.releaseId !== model.releaseId) throw releaseMismatch(model.releaseId, request.releaseId, 'the request');
  const person = askedPerson(request);
  const { context } = request;
  if (context === undefined) throw invalidArgument('context', 'is required');
  const violations = new Violations();
  checkFeatures('context.features', context.features, model.layout.requestFeatures, violations);
  violations.throwIfAny();
  const embeddings = contextEmbeddings(request, context, model);
  return {
    person,
    context,
    surface: model.surface(context.surface, 'context.surface'),
    nowMs: wholeNumber(context.nowMs, 'context.now_ms', 1n),
    embeddings,
    queryText: parseQueryText(request, embeddings !== undefined, model),
    contextRows: embeddings === undefined ? 1 : embeddings.length / model.layout.itemDimension,
    queries: parseQueries(request.queries, model),
    minimumSequence: wholeNumber(request.minimumHistorySequence, 'minimum_history_sequence', 0n),
  };
}

/** By id, or by key where the caller knows no id. */
function askedPerson({ person, personKey: key }: EncodeRequest): PersonKey | undefined {
  if (key.length === 0) return personKey(person);
  if (person?.id.case !== undefined) throw invalidArgument('person_key', 'must be empty when a person is given');
  return personKeyFromBytes(key, 'person_key');
}

/** The related items', else those that came with the context (a search's). */
function contextEmbeddings(request: EncodeRequest, context: RequestContext, model: ServedModel) {
  const dimension = model.layout.itemDimension;
  const given = decodeEmbeddings(context.embeddings, 'context.embeddings', dimension);
  const related = request.relatedItemIds;
  if (given.rows > 0 && related.length > 0) {
    throw invalidArgument('related_item_ids', 'must be empty when context.embeddings are given');
  }
  const count = Math.max(given.rows, related.length);
  if (count > model.contextRows) {
    const field = given.rows > 0 ? 'context.embeddings' : 'related_item_ids';
    throw invalidArgument(field, `must be at most ${model.contextRows}, got ${count}`);
  }
  if (count === 0) return undefined;
  if (given.rows > 0) return given.values;
  const embeddings = new Float32Array(count * dimension);
  related.forEach((id, i) => {
    const row = model.world.itemRow(id);
    if (row === undefined) throw invalidArgument(`related_item_ids[${i}]`, 'is not an item of the release');
    model.embedding(row, embeddings.subarray(i * dimension, (i + 1) * dimension));
  });
  return embeddings;
}

/** A text without a token is answered like a search without a query. */
function parseQueryText({ queryText }: EncodeRequest, given: boolean, model: ServedModel): string | undefined {
  if (queryText === '') return undefined;
  if (given) {
    throw invalidArgument('query_text', 'must be empty when context.embeddings or related_item_ids are given');
  }
  if (Buffer.byteLength(queryText) > QUERY_TEXT_BYTES) {
    throw invalidArgument('query_text', `is over the limit of ${QUERY_TEXT_BYTES} bytes`);
  }
  if (model.queryTokenizer === undefined) {
    throw unimplemented(`query_text needs a release with a query tower, which ${model.releaseId} has not`);
  }
  return model.world.knowsQuery(queryText) ? queryText : undefined;
}

function parseQueries(queries: readonly Query[], model: ServedModel): AskedQuery[] {
  if (queries.length > MAX_QUERIES) {
    throw invalidArgument('queries', `must be at most ${MAX_QUERIES}, got ${queries.length}`);
  }
  return queries.map((query, i) => ({
    outcome: model.outcome(query.outcome, `queries[${i}].outcome`),
    offsetMs: wholeNumber(query.offsetMs, `queries[${i}].offset_ms`, 0n),
  }));
}

function wholeNumber(value: bigint, field: string, minimum: bigint): number {
  if (value < minimum || value > Number.MAX_SAFE_INTEGER) {
    throw invalidArgument(field, `must be from ${minimum} to ${Number.MAX_SAFE_INTEGER}, got ${value}`);
  }
  return Number(value);
}

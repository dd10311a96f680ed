import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { EmbeddingType, EncodeRequestSchema } from '@onepass/contracts';
import { encodeEmbeddings } from '@onepass/embeddings';
import { OnepassError } from '@onepass/errors';
import { expect, test } from 'vitest';
import { parseEncodeRequest } from './encode-ask.js';
import { fakeModel, NOW } from './fake-cell.suite.js';

const model = fakeModel(8);

function parse(more: MessageInitShape<typeof EncodeRequestSchema> = {}) {
  const usual: MessageInitShape<typeof EncodeRequestSchema> = {
    releaseId: model.releaseId,
    context: { surface: 'home', nowMs: BigInt(NOW) },
    queries: [{ outcome: 'click' }],
  };
  return parseEncodeRequest(create(EncodeRequestSchema, Object.assign(usual, more)), model);
}

/** Fields named by the refusal. */
function refused(more: MessageInitShape<typeof EncodeRequestSchema>): string[] {
  try {
    parse(more);
  } catch (error) {
    const { detail } = OnepassError.from(error);
    return detail.kind === 'invalid_argument' ? detail.violations.map((v) => v.field) : [detail.kind];
  }
  return [];
}

const context = (more: object) => ({ context: { surface: 'home', nowMs: BigInt(NOW), ...more } });
const embeddings = (...values: number[]) => encodeEmbeddings(Float32Array.from(values), 2, EmbeddingType.F32);

test('nobody, a home page, one query', () => {
  expect(parse()).toMatchObject({
    person: undefined,
    surface: 0,
    nowMs: NOW,
    contextRows: 1,
    embeddings: undefined,
    queries: [{ outcome: 0, offsetMs: 0 }],
    minimumSequence: 0,
  });
  expect(parse({ person: { id: { case: 'userId', value: 'anna' } } }).person).toHaveLength(32);
  expect(parse({ personKey: new Uint8Array(16).fill(0xab) }).person).toBe('ab'.repeat(16));
});

test('related items bring their embeddings, one row each', () => {
  const ask = parse({ relatedItemIds: ['i0', 'i2'] });
  expect(ask.contextRows).toBe(2);
  expect([...ask.embeddings!]).toEqual([...model.embedding(0), ...model.embedding(2)]);
});

test('embeddings of a search are taken as they are', () => {
  const ask = parse(context({ embeddings: embeddings(1, 2) }));
  expect(ask.contextRows).toBe(1);
  expect([...ask.embeddings!]).toEqual([1, 2]);
});

test('a text is left to the query tower; one without a word is a search without a query', () => {
  const asked = parse({ queryText: 'Teal mug' });
  expect(asked).toMatchObject({ queryText: 'Teal mug', embeddings: undefined, contextRows: 1 });
  expect(parse({ queryText: '...' }).queryText).toBeUndefined();
  expect(parse({ queryText: 'x'.repeat(1024) }).queryText).toHaveLength(1024);
  const towerless = { ...model, queryTokenizer: undefined };
  const request = create(EncodeRequestSchema, { releaseId: model.releaseId, queryText: 'mug', ...context({}) });
  expect(() => parseEncodeRequest(request, towerless)).toThrow('query_text needs a release with a query tower');
});

test('another release is refused before anything else', () => {
  expect(refused({ releaseId: 'r-other', queries: [{ outcome: 'wave' }] })).toEqual(['release_mismatch']);
  expect(refused({ releaseId: '' })).toEqual(['release_mismatch']);
});

test.each([
  ['person_key', { personKey: new Uint8Array(15) }],
  ['person_key', { personKey: new Uint8Array(16), person: { id: { case: 'userId', value: 'anna' } } }],
  ['person.user_id', { person: { id: { case: 'userId', value: 'x'.repeat(129) } } }],
  ['person.visitor_id', { person: { id: { case: 'visitorId', value: '' } } }],
  ['context', { context: undefined }],
  ['context.now_ms', context({ nowMs: 0n })],
  ['context.now_ms', context({ nowMs: 2n ** 60n })],
  ['context.features["mood"]', context({ features: { mood: 1 } })],
  ['context.features["hour"]', context({ features: { hour: Number.POSITIVE_INFINITY } })],
  ['context.embeddings.values', context({ embeddings: embeddings(1, Number.NaN) })],
  ['context.embeddings.dimension', context({ embeddings: { ...embeddings(1, 2), dimension: 3 } })],
  ['context.embeddings', context({ embeddings: embeddings(1, 2, 3, 4, 5, 6) })],
  ['related_item_ids[1]', { relatedItemIds: ['i0', 'elsewhere'] }],
  ['related_item_ids', { relatedItemIds: ['i0', 'i1', 'i2'] }],
  ['related_item_ids', { relatedItemIds: ['i0'], ...context({ embeddings: embeddings(1, 2) }) }],
  ['query_text', { queryText: 'é'.repeat(513) }],
  ['query_text', { queryText: 'mug', relatedItemIds: ['i0'] }],
  ['query_text', { queryText: 'mug', ...context({ embeddings: embeddings(1, 2) }) }],
  ['queries[1].offset_ms', { queries: [{ outcome: 'any' }, { outcome: 'any', offsetMs: -1n }] }],
  ['queries', { queries: Array.from({ length: 33 }, () => ({ outcome: 'any' })) }],
] as const)('%s is named when it is wrong', (field, more) => {
  expect(refused(more as MessageInitShape<typeof EncodeRequestSchema>)).toEqual([field]);
});

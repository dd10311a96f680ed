import {
  DEFAULT_MESSAGE_BYTES,
  EmbeddingType,
  type Implementation,
  implement,
  packColumn,
  retrieval,
} from '@onepass/contracts';
import { ID_BYTES, type ItemAttribute } from '@onepass/release';
import type { Measurements } from '@onepass/telemetry';
import { type Found, type KeptOut, search } from './search.js';
import { parseGetItems, parseSearch } from './search-ask.js';
import type { ServedIndex } from './served-index.js';
import { Turns } from './turns.js';

const NO_SCALES = new Uint8Array(0);

/** The wire's side of retrieval. */
export function retrievalService(index: ServedIndex, measurements: Measurements): Implementation {
  const turns = new Turns();
  return implement(
    retrieval.RetrievalService,
    {
      search: async (request, call) => {
        await turns.next(call);
        const started = performance.now();
        const ask = parseSearch(request, index);
        const found = await search(ask, index, call);
        measurements.count('onepass.searches', { 'onepass.search.by': 'popular' in ask.by ? 'popular' : 'queries' });
        measurements.count('onepass.search.shards', { 'onepass.shard.outcome': 'answered' }, found.shardsAnswered);
        return {
          candidates: candidatesOf(found, ask.attributes, index),
          coverage: { shardsTotal: index.shards, shardsAnswered: found.shardsAnswered },
          releaseId: index.release.id,
          mergedInto: [...found.mergedInto],
          keptOut: found.keptOut.map((kept) => keptOutOf(kept, index)),
          stages: [{ stage: 'search', micros: Math.round((performance.now() - started) * 1000) }],
        };
      },
      getItems: (request) => {
        const { rows, missing, filtered, filteredBy } = parseGetItems(request, index);
        return {
          items: rows.map((row) => itemOf(row, index)),
          ...(request.withEmbeddings && { embeddings: embeddingsOf(rows, index) }),
          missingItemIds: [...missing],
          filteredItemIds: [...filtered],
          filterIndices: [...filteredBy],
        };
      },
      describe: () => describeRetrieval(index, measurements),
    },
    {
      unserved: {
        upsertItems: 'live item writes are not served yet: items come with the release',
        deleteItems: 'live item deletes are not served yet: items come with the release',
      },
    },
  );
}

function candidatesOf(found: Found, attributes: readonly string[], index: ServedIndex) {
  const attributesOf = (row: number) => ({ values: attributeValues(row, attributes, index) });
  return {
    itemRows: packColumn(found.rows),
    embeddings: embeddingsOf(found.rows, index),
    innerProducts: packColumn(found.scores),
    queryRows: packColumn(found.queries),
    queryRanks: packColumn(found.ranks),
    attributes: attributes.length === 0 ? [] : Array.from(found.rows, attributesOf),
  };
}

function keptOutOf({ row, score, query, rank, filter }: KeptOut, { items }: ServedIndex) {
  return {
    itemId: items.ids[row]!,
    score,
    queryIndex: query,
    rank,
    ...(filter !== undefined && { filterIndex: filter }),
  };
}

/** The rows' float16 embeddings, copied as they lie in the item table. */
function embeddingsOf(rows: ArrayLike<number>, { items: { table, dimension } }: ServedIndex) {
  const copied = new Uint16Array(rows.length * dimension);
  for (let i = 0, at = 0; i < rows.length; i++) {
    const from = rows[i]! * dimension;
    for (let j = 0; j < dimension; j++) copied[at++] = table[from + j]!;
  }
  return { values: new Uint8Array(copied.buffer), type: EmbeddingType.F16, dimension, scales: NO_SCALES };
}

function itemOf(row: number, index: ServedIndex) {
  return {
    id: index.items.ids[row]!,
    title: index.metadata.titles[row]!,
    attributes: attributeValues(row, index.metadata.declared.keys(), index),
  };
}

function attributeValues(row: number, names: Iterable<string>, { metadata }: ServedIndex) {
  const held = metadata.attributes[row]!;
  const values: Record<string, { kind: ReturnType<typeof kindOf> }> = {};
  for (const name of names) {
    if (Object.hasOwn(held, name)) values[name] = { kind: kindOf(held[name]!) };
  }
  return values;
}

function kindOf(value: ItemAttribute) {
  if (typeof value === 'string') return { case: 'text' as const, value };
  if (typeof value === 'number') return { case: 'number' as const, value };
  return { case: 'texts' as const, value: { values: [...value] } };
}

function describeRetrieval({ release, metadata }: ServedIndex, measurements: Measurements) {
  const { model, vocabulary } = release.manifest;
  return {
    role: 'retrieval',
    releaseId: release.id,
    actions: vocabulary.actions,
    surfaces: vocabulary.surfaces,
    attributes: [...metadata.declared.keys()].sort(),
    limits: {
      idBytes: ID_BYTES,
      messageBytes: DEFAULT_MESSAGE_BYTES,
      candidates: model.maxCandidates,
      itemDimension: model.itemDimension,
    },
    measurements: measurements.snapshot(),
  };
}

import type { Faults } from '@onepass/contracts';
import { dotF16 } from '@onepass/embeddings';
import { type ItemMetadata, type Items, openItems, openMetadata, openPopular, type Release } from '@onepass/release';
import { type Logger, type Measurements, rarely } from '@onepass/telemetry';
import { AttributeColumns, commonDirection, type LeafShard, openLeaves, Root, type RowSearch } from '@onepass/vectors';

/** A release as retrieval holds it. */
export interface ServedIndex {
  readonly release: Release;
  readonly items: Items;
  readonly metadata: ItemMetadata;
  readonly columns: AttributeColumns;
  readonly root: Root;
  readonly shards: number;
  /** float32 [E]: see `groupQueries`. */
  readonly common: Float32Array;
  /** By surface: all rows, the popular list first. */
  readonly popular: ReadonlyMap<string, Uint32Array>;
}

export interface IndexTelemetry {
  readonly rowSearch: RowSearch;
  readonly logger: Logger;
  readonly measurements: Measurements;
  readonly faults?: Faults | undefined;
}

/** @throws OnepassError `startup` naming the file that does not fit */
export async function openServedIndex(release: Release, telemetry: IndexTelemetry): Promise<ServedIndex> {
  const { rowSearch, logger, measurements, faults } = telemetry;
  const items = await openItems(release);
  const metadata = await openMetadata(release);
  const leaves = await openLeaves(release, items, rowSearch);
  const popular = new Map<string, Uint32Array>();
  for (const [surface, rows] of await openPopular(release, items)) popular.set(surface, popularFirst(rows, items));
  const rare = rarely(logger);
  const root = new Root({
    leaves: faults ? leaves.map((leaf, number) => faulty(leaf, `Leaf${number}`, faults)) : leaves,
    ids: items.ids,
    onLeafFailure: (leaf, cause, span) => {
      measurements.count('onepass.search.shards', { 'onepass.shard.outcome': 'failed' });
      rare.warn({ leaf, err: cause, ...span.logFields }, `shard ${leaf} did not answer`);
    },
  });
  measurements.observe('onepass.index.items', () => items.count);
  measurements.observe('onepass.index.shards', () => leaves.length);
  return {
    release,
    items,
    metadata,
    columns: new AttributeColumns(metadata),
    root,
    shards: leaves.length,
    common: commonDirection(embeddings(items), items.dimension),
    popular,
  };
}

/** A shard of which failure flags speak as of a method. */
function faulty(leaf: LeafShard, point: string, faults: Faults): LeafShard {
  return {
    search: async (request) => {
      await faults.before(point, request.signal ?? NEVER);
      return leaf.search(request);
    },
  };
}

const NEVER = new AbortController().signal;

/** The list, then everything else by nearness to the list's mean: a narrow filter may leave nothing of the list itself. */
function popularFirst(list: Uint32Array, items: Items): Uint32Array {
  const mean = new Float32Array(items.dimension);
  for (const row of list) {
    const embedding = items.embedding(row);
    for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + embedding[i]! / list.length;
  }
  const listed = new Set(list);
  const nearness = Float32Array.from(items.ids.keys(), (row) => dotF16(mean, items.table, row * items.dimension));
  const rest = Uint32Array.from(items.ids.keys()).filter((row) => !listed.has(row));
  rest.sort((a, b) => nearness[b]! - nearness[a]! || a - b);
  const order = new Uint32Array(items.count);
  order.set(list);
  order.set(rest, list.length);
  return order;
}

function* embeddings(items: Items): Generator<Float32Array> {
  for (let row = 0; row < items.count; row++) yield items.embedding(row);
}

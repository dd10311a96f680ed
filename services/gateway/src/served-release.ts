import {
  type AttributeType,
  type ItemAttribute,
  loadRelease,
  type Manifest,
  openItems,
  openMetadata,
  openPopular,
  type Vocabulary,
} from '@onepass/release';

/** What the gateway knows of the release it serves. */
export interface ServedRelease {
  readonly id: string;
  readonly vocabulary: Vocabulary;
  readonly actions: Manifest['vocabulary']['actions'];
  readonly model: Manifest['model'];
  /** Whether a search may come as text. */
  readonly hasQueryTower: boolean;
  /** Item ids by their row in the release's item table. */
  readonly itemIds: readonly string[];
  /** The other way around. */
  readonly rows: ReadonlyMap<string, number>;
  /** Attributes that items have, by name. */
  readonly attributes: ReadonlyMap<string, AttributeType>;
  /** By surface: what is shown when retrieval is down. */
  readonly popular: ReadonlyMap<string, PopularItems>;
}

/** Popular items of one surface in order, as columns. */
export interface PopularItems {
  readonly itemIds: readonly string[];
  /** [items, E] float16 bits. */
  readonly embeddings: Uint16Array;
  readonly attributes: readonly Readonly<Record<string, ItemAttribute>>[];
}

/** Loads and verifies it. @throws OnepassError `startup` naming the file. */
export async function loadServedRelease(directory: string): Promise<ServedRelease> {
  const release = await loadRelease(directory);
  const items = await openItems(release);
  const metadata = await openMetadata(release);
  const popular = new Map<string, PopularItems>();
  for (const [surface, rows] of await openPopular(release, items)) {
    const embeddings = new Uint16Array(rows.length * items.dimension);
    rows.forEach((row, i) => {
      embeddings.set(items.bits(row), i * items.dimension);
    });
    popular.set(surface, {
      itemIds: Array.from(rows, (row) => items.ids[row] as string),
      embeddings,
      attributes: Array.from(rows, (row) => metadata.attributes[row] as Record<string, ItemAttribute>),
    });
  }
  // The table, the titles and the other items' attributes are let go: retrieval has them.
  return {
    id: release.id,
    vocabulary: release.vocabulary,
    actions: release.manifest.vocabulary.actions,
    model: release.manifest.model,
    hasQueryTower: release.manifest.graphs.queryTower !== null,
    itemIds: items.ids,
    rows: new Map(items.ids.map((id, row) => [id, row])),
    attributes: metadata.declared,
    popular,
  };
}

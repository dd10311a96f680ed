import type { Item } from '@onepass/contracts';
import { decodeEmbeddings } from '@onepass/embeddings';
import type { ExternalItem, Plan } from '../recommend/plan.js';
import type { ServedRelease } from '../served-release.js';
import { attributeTexts, defect, type SourceFields } from './candidate-set.js';
import { type FilteredOut, filterDetail } from './filtered-out.js';
import type { RetrievalClient } from './retrieve-stage.js';
import type { Run } from './run.js';

/** An external candidate that can be ranked. */
export interface ResolvedExternal {
  readonly item: ExternalItem;
  readonly embedding: Float32Array;
  valuesOf(attribute: string): readonly string[];
}

export interface LookedUp {
  readonly resolved: readonly ResolvedExternal[];
  readonly filtered: readonly FilteredOut[];
}

/**
 * External candidates with their embeddings: the caller's own, else the release's. Attributes, for filters and diversity, are
 * the release's only; under filters an item that the release does not know is left out.
 */
export async function lookUp(run: Run, client: RetrievalClient, release: ServedRelease): Promise<LookedUp> {
  const { externals, filters, diversity } = run.plan;
  const byAttributes = filters.length > 0 || diversity.length > 0;
  const asked = externals.filter((item) => byAttributes || item.embedding === undefined);
  const found = asked.length === 0 ? NOTHING : await getItems(run, client, release, asked);
  const resolved: ResolvedExternal[] = [];
  const filtered: FilteredOut[] = [];
  for (const item of externals) {
    const { itemId } = item;
    const known = found.items.get(itemId);
    const embedding = item.embedding ?? known?.embedding;
    const filter = found.filtered.get(itemId);
    const sources = externalSources(item);
    if (filter !== undefined) {
      filtered.push({ itemId, reason: 'attribute', detail: filterDetail(filters, filter), sources });
    } else if (embedding === undefined || (known === undefined && filters.length > 0)) {
      filtered.push({ itemId, reason: 'unknown_item', sources });
    } else {
      const valuesOf = (attribute: string) => attributeTexts(known?.item.attributes[attribute]);
      resolved.push({ item, embedding, valuesOf });
    }
  }
  return { resolved, filtered };
}

/** What of them can be ranked without retrieval: those with an embedding of the caller's, unless filters ask for attributes. */
export function ownEmbeddings({ externals, filters }: Plan): LookedUp {
  const resolved = externals.flatMap((item) => {
    const { embedding } = item;
    return embedding === undefined || filters.length > 0 ? [] : [{ item, embedding, valuesOf: () => [] }];
  });
  return { resolved, filtered: [] };
}

interface Found {
  readonly items: ReadonlyMap<string, { readonly item: Item; readonly embedding: Float32Array }>;
  /** The first filter that does not hold, by item. */
  readonly filtered: ReadonlyMap<string, number>;
}

const NOTHING: Found = { items: new Map(), filtered: new Map() };

async function getItems(
  run: Run,
  client: RetrievalClient,
  release: ServedRelease,
  asked: readonly ExternalItem[],
): Promise<Found> {
  const response = await client.getItems(
    {
      releaseId: release.id,
      itemIds: asked.map((item) => item.itemId),
      withEmbeddings: true,
      filters: [...run.plan.filters],
    },
    run.call(run.budget.latest('retrieve'), 'look_up'),
  );
  const dimension = release.model.itemDimension;
  const { rows, values } = decodeEmbeddings(response.embeddings, 'embeddings', dimension);
  if (rows !== response.items.length)
    throw defect(`retrieval answered ${rows} embeddings of ${response.items.length} items`);
  const items = response.items.map(
    (item, i) => [item.id, { item, embedding: values.subarray(i * dimension, (i + 1) * dimension) }] as const,
  );
  const filtered = response.filteredItemIds.map((id, i) => [id, response.filterIndices[i] ?? 0] as const);
  return { items: new Map(items), filtered: new Map(filtered) };
}

export function externalSources({ sources }: ExternalItem): SourceFields[] {
  return sources.map(({ name, rank }) => ({ name, outcome: '', rank, score: 0 }));
}

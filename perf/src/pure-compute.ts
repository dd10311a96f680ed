import { readFile } from 'node:fs/promises';
import type { InferenceEngine, Tensors } from '@onepass/inference';
import type { Items, Release } from '@onepass/release';
import { contextRows, rowLayout } from '@onepass/tokens';
import { decodeSegment, type LeafShard, mixedQueries, PartitionedLeaf, usearchRows } from '@onepass/vectors';

/** What a warm home page asks of the model and the index. */
export interface Shapes {
  /** Tokens of the past that the KV holds. */
  readonly past: number;
  readonly candidates: number;
  /** Query embeddings: outcome budgets of the page. */
  readonly queries: number;
}

/** Tensors of one warm request in the engine's mapped buffers, as docs/release.md shapes them. */
export class RequestTensors {
  readonly #engine: InferenceEngine;
  readonly #release: Release;
  readonly #items: Items;
  readonly #shapes: Shapes;

  constructor(engine: InferenceEngine, release: Release, items: Items, shapes: Shapes) {
    this.#engine = engine;
    this.#release = release;
    this.#items = items;
    this.#shapes = shapes;
  }

  /** @param rows new tokens and, last, the context row */
  encodeInputs(rows = 1): Tensors {
    return {
      rows: this.#contextRows(rows),
      positions: this.#tensor([rows], (i) => this.#shapes.past + i),
      ...this.#pastKv(),
    };
  }

  encodeOutputs(rows = 1): Tensors {
    const { width, layers } = this.#release.manifest.model;
    return { hidden: this.#tensor([rows, width]), ...this.#perLayer(layers, ['key', 'value'], [rows, width]) };
  }

  headInputs(): Tensors {
    const { queries } = this.#shapes;
    const { outcomes, surfaces } = this.#release.vocabulary;
    return {
      hidden: this.#tensor([1, this.#release.manifest.model.width], small),
      outcomes: this.#tensor([queries, outcomes.size], (i) => (i % outcomes.size === 0 ? 1 : 0)),
      offsets: this.#tensor([queries, 1]),
      surfaces: this.#tensor([queries, surfaces.size], (i) => (i % surfaces.size === 0 ? 1 : 0)),
    };
  }

  headOutputs(): Tensors {
    return { queries: this.#tensor([this.#shapes.queries, this.#items.dimension]) };
  }

  /** @param contexts rows before the candidates: the context row, and before it what of the history is not in the past */
  rankInputs(contexts = 1): Tensors {
    const { past, candidates } = this.#shapes;
    const { dimension } = this.#items;
    const layout = rowLayout(this.#release.manifest);
    const embedding = (i: number) =>
      this.#items.embedding(Math.floor(i / dimension) % this.#items.count)[i % dimension] ?? 0;
    return {
      context: this.#contextRows(contexts),
      context_positions: this.#tensor([contexts], (i) => past + i),
      candidates: this.#tensor([candidates, dimension], embedding),
      candidate_row: this.#tensor([1, layout.features - dimension], small),
      candidate_position: this.#tensor([1], () => past + contexts),
      ...this.#pastKv(),
    };
  }

  rankOutputs(): Tensors {
    return { probabilities: this.#tensor([this.#shapes.candidates, this.#release.vocabulary.actions.size]) };
  }

  #contextRows(count: number) {
    const layout = rowLayout(this.#release.manifest);
    const row = contextRows(layout, { surface: 0, nowMs: Date.now() });
    return this.#tensor([count, layout.features], (i) => row[i % layout.features] ?? 0);
  }

  #pastKv(): Tensors {
    const { width, layers } = this.#release.manifest.model;
    return this.#perLayer(layers, ['past_key', 'past_value'], [this.#shapes.past, width], small);
  }

  #perLayer(
    layers: number,
    names: readonly string[],
    shape: readonly number[],
    value?: (i: number) => number,
  ): Tensors {
    const keys = names.flatMap((name) => Array.from({ length: layers }, (_, layer) => `${name}_${layer}`));
    return Object.fromEntries(keys.map((key) => [key, this.#tensor(shape, value)]));
  }

  #tensor(shape: readonly number[], value: (i: number) => number = () => 0) {
    const { data } = this.#engine.buffers.take(shape.reduce((product, n) => product * n, 1));
    for (let i = 0; i < data.length; i += 1) data[i] = value(i);
    return { data, shape };
  }
}

/** Numbers that look like activations: the time of a run does not depend on them, denormals left aside. */
const small = (i: number) => Math.sin(i) / 8;

export interface IndexUnderTest {
  /** How long one search over all shards took, in ms: centroids, gathering, usearch and rescoring. */
  search(round: number): number;
}

export async function openIndex(release: Release, items: Items, shapes: Shapes): Promise<IndexUnderTest> {
  const { shards, probes } = release.manifest.index;
  const leaves: LeafShard[] = [];
  for (const { file } of shards) {
    const segment = decodeSegment(await readFile(release.path(file)), file);
    leaves.push(new PartitionedLeaf(segment, items, { probes, rowSearch: usearchRows }));
  }
  const pool = mixedQueries(items, 64 * shapes.queries);
  const perRequest = shapes.queries * items.dimension;
  return {
    search(round) {
      const from = (round % 64) * perRequest;
      const queries = pool.subarray(from, from + perRequest);
      const since = performance.now();
      for (const leaf of leaves) leaf.search({ queries, limit: shapes.candidates });
      return performance.now() - since;
    },
  };
}

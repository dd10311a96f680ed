import { readFile } from 'node:fs/promises';
import { createEngine, type Graph, type InferenceEngine, type Tensors } from '@onepass/inference';
import { type Items, openItems, type Release } from '@onepass/release';
import { contextRows, rowLayout } from '@onepass/tokens';
import { decodeSegment, type LeafShard, mixedQueries, PartitionedLeaf, usearchRows } from '@onepass/vectors';
import { median } from './statistics.js';

/** What a warm home page asks of the model and the index. */
export interface Shapes {
  /** Tokens of the past that the KV holds. */
  readonly past: number;
  readonly candidates: number;
  /** Query embeddings: outcome budgets of the page. */
  readonly queries: number;
}

/** One call, timed alone: nothing else runs and inputs lie in mapped memory. Medians, in ms. */
export interface PureTimes {
  /** The encode graph on one context row. */
  readonly encode: number;
  readonly retrieveHead: number;
  readonly rank: number;
  /** usearch's part of one search over all shards and queries. */
  readonly ann: number;
  /** The same search whole: centroids, gathering, usearch, rescoring in f16. */
  readonly search: number;
}

/** The ONNX and ANN calls of one warm request, together. */
export const pureMs = (t: PureTimes) => t.encode + t.retrieveHead + t.rank + t.ann;

type TimedRun = readonly [name: 'encode' | 'retrieveHead' | 'rank', graph: Graph, inputs: Tensors, outputs: Tensors];

/** The graphs and the index of a release, loaded in this process to be timed without services around them. */
export class PureCompute {
  readonly #engine: InferenceEngine;
  readonly #runs: readonly TimedRun[];
  readonly #index: IndexUnderTest;

  static async open(release: Release, shapes: Shapes): Promise<PureCompute> {
    const engine = createEngine({ provider: 'cpu', inFlight: 1, threads: 1 });
    const { graphs } = release.manifest;
    const graph = (path: string) => engine.load(release.path(path));
    const [encode, head, rank] = [
      await graph(graphs.encode),
      await graph(graphs.retrieveHead),
      await graph(graphs.rank),
    ];
    const items = await openItems(release);
    const tensors = new RequestTensors(engine, release, items, shapes);
    return new PureCompute(
      engine,
      [
        ['encode', encode, tensors.encodeInputs(), tensors.encodeOutputs()],
        ['retrieveHead', head, tensors.headInputs(), tensors.headOutputs()],
        ['rank', rank, tensors.rankInputs(), tensors.rankOutputs()],
      ],
      await openIndex(release, items, shapes),
    );
  }

  private constructor(engine: InferenceEngine, runs: readonly TimedRun[], index: IndexUnderTest) {
    this.#engine = engine;
    this.#runs = runs;
    this.#index = index;
  }

  /** Medians over `rounds` calls of each kind, the kinds taking turns. */
  async measure(rounds: number): Promise<PureTimes> {
    const times = {
      encode: [] as number[],
      retrieveHead: [] as number[],
      rank: [] as number[],
      ann: [] as number[],
      search: [] as number[],
    };
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, graph, inputs, outputs] of this.#runs) {
        const { runMicros } = await graph.run(inputs, outputs);
        times[name].push(runMicros / 1000);
      }
      const { annMs, searchMs } = this.#index.search(round);
      times.ann.push(annMs);
      times.search.push(searchMs);
    }
    return {
      encode: median(times.encode),
      retrieveHead: median(times.retrieveHead),
      rank: median(times.rank),
      ann: median(times.ann),
      search: median(times.search),
    };
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
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
  search(round: number): { readonly annMs: number; readonly searchMs: number };
}

export async function openIndex(release: Release, items: Items, shapes: Shapes): Promise<IndexUnderTest> {
  const { shards, probes } = release.manifest.index;
  let annMs = 0;
  const rowSearch: typeof usearchRows = (...args) => {
    const since = performance.now();
    const found = usearchRows(...args);
    annMs += performance.now() - since;
    return found;
  };
  const leaves: LeafShard[] = [];
  for (const { file } of shards) {
    const segment = decodeSegment(await readFile(release.path(file)), file);
    leaves.push(new PartitionedLeaf(segment, items, { probes, rowSearch }));
  }
  const pool = mixedQueries(items, 64 * shapes.queries);
  const perRequest = shapes.queries * items.dimension;
  return {
    search(round) {
      const from = (round % 64) * perRequest;
      const queries = pool.subarray(from, from + perRequest);
      annMs = 0;
      const since = performance.now();
      for (const leaf of leaves) leaf.search({ queries, limit: shapes.candidates });
      return { annMs, searchMs: performance.now() - since };
    },
  };
}

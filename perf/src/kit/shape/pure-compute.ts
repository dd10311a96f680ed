import { createEngine, type Graph, type InferenceEngine, type Tensors } from '@onepass/inference';
import type { Items, Release } from '@onepass/release';
import { type IndexUnderTest, openIndex, RequestTensors, type Shapes } from '../../pure-compute.js';
import { median } from '../../statistics.js';
import type { PureCompute, Shape } from '../measurements.js';

export interface ShapeComputeOptions {
  /** Query embeddings of a page: its outcome budgets. */
  readonly queries: number;
  /** Inside a run, as the services have them. */
  readonly threads: number;
}

/** At most `calls` of each kind, but after three it ends when `seconds` are over. */
export interface Effort {
  readonly calls: number;
  readonly seconds: number;
}

const LEAST_CALLS = 3;

type GraphName = 'encodeAll' | 'append' | 'retrieveHead' | 'rankOnKv' | 'rankFromScratch';
type TimedRun = readonly [name: GraphName, graph: Graph, inputs: Tensors, outputs: Tensors];

/**
 * The graphs and the index of a release at one shape, timed in this process without services around them: one call at a time,
 * on mapped buffers. n and k are the shape's, whatever the release's window is, which they must fit into.
 *
 * - encodeAll: the n tokens and the context row behind them, from an empty past, in one run, as a cold page's Encode does it.
 * - append: one token and the context row, on n - 1 tokens held.
 * - retrieveHead: the page's query embeddings.
 * - rankOnKv: the context row and k candidates on n tokens held.
 * - rankFromScratch: the rank graph with all n tokens as context rows, which are causal, on an empty past: history and candidates
 *   in one pass. This is the least that a ranker without KV has to do.
 * - search: centroids, gathering, usearch and rescoring, of all shards one after the other.
 */
export class ShapeCompute {
  readonly #engine: InferenceEngine;
  readonly #shape: Shape;
  readonly #runs: readonly TimedRun[];
  readonly #index: IndexUnderTest;

  static async open(release: Release, items: Items, shape: Shape, options: ShapeComputeOptions): Promise<ShapeCompute> {
    const engine = createEngine({ provider: 'cpu', inFlight: 1, threads: options.threads });
    try {
      const page = { past: shape.n, candidates: shape.k, queries: options.queries };
      const runs = await timedRuns(engine, release, items, page);
      // The first run of a shape allocates what the others use again.
      for (const [, graph, inputs, outputs] of runs) await graph.run(inputs, outputs);
      return new ShapeCompute(engine, shape, runs, await openIndex(release, items, page));
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  private constructor(engine: InferenceEngine, shape: Shape, runs: readonly TimedRun[], index: IndexUnderTest) {
    this.#engine = engine;
    this.#shape = shape;
    this.#runs = runs;
    this.#index = index;
  }

  /** Medians; the kinds take turns, so that other work on the machine slows all alike. */
  async measure(round: number, { calls, seconds }: Effort): Promise<PureCompute> {
    const times: Record<GraphName | 'search', number[]> = {
      encodeAll: [],
      append: [],
      retrieveHead: [],
      rankOnKv: [],
      rankFromScratch: [],
      search: [],
    };
    const end = performance.now() + 1000 * seconds;
    for (let call = 0; call < calls && (call < LEAST_CALLS || performance.now() < end); call += 1) {
      for (const [name, graph, inputs, outputs] of this.#runs) {
        times[name].push((await graph.run(inputs, outputs)).runMicros / 1000);
      }
      times.search.push(this.#index.search(call));
    }
    const [n, k, layers, width] = [this.#shape.n, this.#shape.k, this.#shape.layers, this.#shape.width];
    return {
      round,
      shape: { n, k, layers, width },
      encodeAll: median(times.encodeAll),
      append: median(times.append),
      retrieveHead: median(times.retrieveHead),
      rankOnKv: median(times.rankOnKv),
      rankFromScratch: median(times.rankFromScratch),
      search: median(times.search),
    };
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}

async function timedRuns(
  engine: InferenceEngine,
  release: Release,
  items: Items,
  page: Shapes,
): Promise<readonly TimedRun[]> {
  const { graphs } = release.manifest;
  const [encode, head, rank] = await Promise.all([
    engine.load(release.path(graphs.encode)),
    engine.load(release.path(graphs.retrieveHead)),
    engine.load(release.path(graphs.rank)),
  ]);
  const n = page.past;
  const behind = (past: number) => new RequestTensors(engine, release, items, { ...page, past });
  const [nobody, before, whole] = [behind(0), behind(n - 1), behind(n)];
  return [
    ['encodeAll', encode, nobody.encodeInputs(n + 1), nobody.encodeOutputs(n + 1)],
    ['append', encode, before.encodeInputs(2), before.encodeOutputs(2)],
    ['retrieveHead', head, whole.headInputs(), whole.headOutputs()],
    ['rankOnKv', rank, whole.rankInputs(), whole.rankOutputs()],
    ['rankFromScratch', rank, nobody.rankInputs(n + 1), nobody.rankOutputs()],
  ];
}

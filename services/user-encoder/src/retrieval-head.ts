import type { Graph, RunTerms, RunTiming } from '@onepass/inference';
import { headOffset } from '@onepass/tokens';
import type { EncodeAsk } from './encode-ask.js';
import type { ServedModel } from './served-model.js';

/** The release's retrieval head: a hidden state to query embeddings. */
export class RetrievalHead {
  readonly #model: ServedModel;
  readonly #graph: Graph;

  constructor(model: ServedModel, graph: Graph) {
    this.#model = model;
    this.#graph = graph;
  }

  /**
   * One embedding a query, [q, E].
   * @param hidden [W], of the last context row
   * @throws OnepassError whatever a graph run throws
   */
  async retrieve(
    ask: EncodeAsk,
    hidden: Float32Array,
    terms: RunTerms,
  ): Promise<{ readonly queries: Float32Array; readonly timing: RunTiming }> {
    const { layout, width, outcomes } = this.#model;
    const count = ask.queries.length;
    const asked = new Float32Array(count * outcomes);
    const offsets = new Float32Array(count);
    const surfaces = new Float32Array(count * layout.surfaces);
    const queries = new Float32Array(count * layout.itemDimension);
    ask.queries.forEach(({ outcome, offsetMs }, row) => {
      asked[row * outcomes + outcome] = 1;
      offsets[row] = headOffset(layout, offsetMs);
      surfaces[row * layout.surfaces + ask.surface] = 1;
    });
    const timing = await this.#graph.run(
      {
        hidden: { data: hidden, shape: [1, width] },
        outcomes: { data: asked, shape: [count, outcomes] },
        offsets: { data: offsets, shape: [count, 1] },
        surfaces: { data: surfaces, shape: [count, layout.surfaces] },
      },
      { queries: { data: queries, shape: [count, layout.itemDimension] } },
      terms,
    );
    return { queries, timing };
  }
}

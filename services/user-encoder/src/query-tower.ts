import type { Graph, InferenceEngine, RunTerms, RunTiming, Tensor } from '@onepass/inference';
import { type QueryTokenizer, queryTokens, tokenWeight } from '@onepass/tokens';

/** [E] of each text that was asked for. */
export type TextEmbeddings = ReadonlyMap<string, Float32Array>;

/** The release's query tower: texts to the items' space. */
export class QueryTower {
  readonly #engine: InferenceEngine;
  readonly #graph: Graph;
  readonly #tokenizer: QueryTokenizer;
  readonly #dimension: number;

  constructor(
    engine: InferenceEngine,
    graph: Graph,
    { tokenizer, dimension }: { readonly tokenizer: QueryTokenizer; readonly dimension: number },
  ) {
    this.#engine = engine;
    this.#graph = graph;
    this.#tokenizer = tokenizer;
    this.#dimension = dimension;
  }

  /** All texts in one run. Each must have a token, and none is there twice. */
  async embed(
    texts: readonly string[],
    terms: RunTerms,
  ): Promise<{ readonly embeddings: TextEmbeddings; readonly timing: RunTiming }> {
    const tokens = texts.map((text) => queryTokens(text, this.#tokenizer));
    const longest = Math.max(...tokens.map((ids) => ids.length));
    const cells = texts.length * longest;
    const buffer = this.#engine.buffers.take(2 * cells + texts.length * this.#dimension);
    try {
      const ids = buffer.data.subarray(0, cells).fill(0);
      const weights = buffer.data.subarray(cells, 2 * cells).fill(0);
      const out = buffer.data.subarray(2 * cells, 2 * cells + texts.length * this.#dimension);
      tokens.forEach((own, row) => {
        ids.set(own, row * longest);
        weights.fill(tokenWeight(own.length), row * longest, row * longest + own.length);
      });
      const shaped = (data: Float32Array): Tensor => ({ data, shape: [texts.length, longest] });
      const timing = await this.#graph.run(
        { token_ids: shaped(ids), token_weights: shaped(weights) },
        { embeddings: { data: out, shape: [texts.length, this.#dimension] } },
        terms,
      );
      const row = (index: number) => out.slice(index * this.#dimension, (index + 1) * this.#dimension);
      return { embeddings: new Map(texts.map((text, index) => [text, row(index)])), timing };
    } finally {
      buffer.release();
    }
  }
}

import { startupError } from '@onepass/errors';
import type { Graph, InferenceEngine, RunTerms, RunTiming, Tensor } from '@onepass/inference';
import type { KvTensors } from '@onepass/kv';
import type { RankAsk } from './rank-ask.js';
import type { ServedModel } from './served-model.js';

const NOTHING = new Float32Array(0);
const WARM_UP_CANDIDATES = 16;

export interface RankRun {
  /** [k, A]. */
  readonly probabilities: Float32Array;
  readonly timing: RunTiming;
}

/** The release's rank graph. */
export class RankGraph {
  readonly #graph: Graph;
  readonly #served: ServedModel;

  private constructor(graph: Graph, served: ServedModel) {
    this.#graph = graph;
    this.#served = served;
  }

  /** Ready and warm. @throws OnepassError `startup` naming the file. */
  static async load(engine: InferenceEngine, path: string, served: ServedModel): Promise<RankGraph> {
    const graph = await engine.load(path);
    const loaded = new RankGraph(graph, served);
    try {
      await loaded.#warmUp();
    } catch (error) {
      throw startupError(`graph "${path}" does not run with the inputs that docs/release.md describes`, error);
    }
    return loaded;
  }

  /**
   * One pass over all candidates. `past` is read in place: K and V of `ask.kv.length` tokens per layer.
   * @throws OnepassError the signal's reason, `overloaded` or `internal`
   */
  async run(ask: Omit<RankAsk, 'weights'>, past: KvTensors, terms?: RunTerms): Promise<RankRun> {
    const { layout, kvShape } = this.#served;
    const { contextRows: c, candidateCount: k } = ask;
    const p = ask.kv.length;
    const inputs: Record<string, Tensor> = {
      context: { data: ask.context, shape: [c, layout.features] },
      context_positions: { data: Float32Array.from({ length: c }, (_, i) => p + i), shape: [c] },
      candidates: { data: ask.candidates, shape: [k, layout.itemDimension] },
      candidate_row: { data: ask.candidateRow, shape: [1, layout.features - layout.itemDimension] },
      candidate_position: { data: Float32Array.of(p + c), shape: [1] },
    };
    const shape = [p, kvShape.width];
    for (let layer = 0; layer < kvShape.layers; layer++) {
      inputs[`past_key_${layer}`] = { data: past.keys[layer] ?? NOTHING, shape };
      inputs[`past_value_${layer}`] = { data: past.values[layer] ?? NOTHING, shape };
    }
    const probabilities = new Float32Array(k * layout.actions);
    const outputs = { probabilities: { data: probabilities, shape: [k, layout.actions] } };
    const timing = await this.#graph.run(inputs, outputs, terms);
    return { probabilities, timing };
  }

  async #warmUp(): Promise<void> {
    const { layout, releaseId } = this.#served;
    const kv = { ...EMPTY_REFERENCE, releaseId };
    const ask = {
      kv,
      context: new Float32Array(layout.features),
      contextRows: 1,
      candidates: new Float32Array(WARM_UP_CANDIDATES * layout.itemDimension),
      candidateCount: WARM_UP_CANDIDATES,
      candidateRow: new Float32Array(layout.features - layout.itemDimension),
    };
    await this.run(ask, EMPTY_PAST);
  }
}

/** What a person without history has: the graph takes no tokens. */
export const EMPTY_PAST: KvTensors = { keys: [], values: [] };

const EMPTY_REFERENCE = {
  poolId: '',
  slot: 0,
  generation: 0n,
  length: 0,
  personKey: new Uint8Array(0),
  historySequence: 0n,
  historyHash: 0n,
};

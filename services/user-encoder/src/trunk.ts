import type { Graph, InferenceEngine, RunBuffer, RunTerms, RunTiming, Tensor } from '@onepass/inference';
import type { KvTensors } from '@onepass/kv';
import { contextRows, headOffset, type PastToken, writePastRows } from '@onepass/tokens';
import type { EncodeAsk } from './encode-ask.js';
import type { TextEmbeddings } from './query-tower.js';
import type { ServedModel } from './served-model.js';

/** The past of one pass: what is held, and what is new behind it. */
export interface PassPast {
  /** K and V in place, whole capacity; undefined = an empty past that is not to be kept. */
  readonly tensors: KvTensors | undefined;
  /** Tokens held. */
  readonly length: number;
  readonly tokens: readonly PastToken[];
  /** Of the queries among `tokens`. */
  readonly texts: TextEmbeddings;
  /** Time of the token before `tokens[0]`. */
  readonly previousMs: number | undefined;
  /** Time of the last token of all. */
  readonly lastMs: number | undefined;
}

/** A pass's scratch: rows in, hidden states out, then the head's. */
export interface PassBuffers {
  readonly rows: Float32Array;
  readonly positions: Float32Array;
  readonly hidden: Float32Array;
  /** Where K and V of context rows go that belong to no slot: per layer K, then V. */
  readonly unkept: readonly Float32Array[];
  readonly outcomes: Float32Array;
  readonly offsets: Float32Array;
  readonly surfaces: Float32Array;
  /** [q, E]: the answer. */
  readonly queries: Float32Array;
  release(): void;
}

/** Views on a run buffer begin on cache lines. */
const ALIGNMENT = 16;

/** The trunk and the retrieval head. */
export class Trunk {
  readonly #model: ServedModel;
  readonly #engine: InferenceEngine;
  readonly #encode: Graph;
  readonly #head: Graph;

  constructor(model: ServedModel, engine: InferenceEngine, graphs: { encode: Graph; retrieveHead: Graph }) {
    this.#model = model;
    this.#engine = engine;
    this.#encode = graphs.encode;
    this.#head = graphs.retrieveHead;
  }

  /** Whether no graph runs or waits to. */
  get isIdle(): boolean {
    return this.#engine.running + this.#engine.queued === 0;
  }

  /** Must be released once no run uses them. */
  takeBuffers(past: PassPast, ask: EncodeAsk): PassBuffers {
    const { layout, width, layers, outcomes } = this.#model;
    const rows = past.tokens.length + contextCount(ask);
    const queries = ask.queries.length;
    const unkept = past.tensors === undefined ? 2 * layers : 0;
    const sizes = [
      rows * layout.features,
      rows,
      rows * width,
      queries * outcomes,
      queries,
      queries * layout.surfaces,
      queries * layout.itemDimension,
      ...Array<number>(unkept).fill(rows * width),
    ];
    const taken = this.#engine.buffers.take(sizes.reduce((sum, size) => sum + aligned(size), 0));
    const views = split(taken, sizes);
    const [rowsView, positions, hidden, outcomesView, offsets, surfaces, queriesView] = views;
    return {
      rows: rowsView!,
      positions: positions!,
      hidden: hidden!,
      outcomes: outcomesView!,
      offsets: offsets!,
      surfaces: surfaces!,
      queries: queriesView!,
      unkept: views.slice(7),
      release: () => taken.release(),
    };
  }

  /**
   * New tokens and, behind them where there are queries, the context rows, in one causal pass. K and V of the new rows are written in
   * place behind the held ones; those of the context rows lie behind the last token, where nobody reads.
   */
  async encode(past: PassPast, ask: EncodeAsk, buffers: PassBuffers, terms: RunTerms): Promise<RunTiming> {
    const { layout, layers, width } = this.#model;
    const fresh = past.tokens.length;
    const rows = fresh + contextCount(ask);
    writePastRows(layout, buffers.rows, past.tokens, {
      previousMs: past.previousMs,
      itemEmbedding: (row) => this.#model.embedding(row),
      queryEmbedding: (text) => past.texts.get(text)!,
    });
    if (rows > fresh) {
      const { surface, nowMs, embeddings, context } = ask;
      const request = { surface, nowMs, previousMs: past.lastMs, embeddings, features: context.features };
      buffers.rows.set(contextRows(layout, request), fresh * layout.features);
    }
    for (let row = 0; row < rows; row++) buffers.positions[row] = past.length + row;
    const inputs: Record<string, Tensor> = {
      rows: { data: buffers.rows, shape: [rows, layout.features] },
      positions: { data: buffers.positions, shape: [rows] },
    };
    const outputs: Record<string, Tensor> = { hidden: { data: buffers.hidden, shape: [rows, width] } };
    const held = past.length * width;
    const end = held + rows * width;
    for (let layer = 0; layer < layers; layer++) {
      const key = past.tensors?.keys[layer] ?? buffers.unkept[2 * layer]!;
      const value = past.tensors?.values[layer] ?? buffers.unkept[2 * layer + 1]!;
      inputs[`past_key_${layer}`] = { data: key.subarray(0, held), shape: [past.length, width] };
      inputs[`past_value_${layer}`] = { data: value.subarray(0, held), shape: [past.length, width] };
      outputs[`key_${layer}`] = { data: key.subarray(held, end), shape: [rows, width] };
      outputs[`value_${layer}`] = { data: value.subarray(held, end), shape: [rows, width] };
    }
    return this.#encode.run(inputs, outputs, terms);
  }

  /** Encodes a made-up history of so many tokens from nothing, keeps nothing of it, and answers how long that took, in ms. */
  async timeEncode(tokens: number): Promise<number> {
    const token: PastToken = { itemRow: 0, actions: [], surface: -1, timeMs: 0 };
    const past = { tensors: undefined, length: 0, tokens: Array<PastToken>(tokens).fill(token), texts: new Map() };
    const whole: PassPast = { ...past, previousMs: undefined, lastMs: 0 };
    const nothing = { queries: [], contextRows: 0 } as unknown as EncodeAsk;
    const buffers = this.takeBuffers(whole, nothing);
    try {
      const began = performance.now();
      await this.encode(whole, nothing, buffers, {});
      return performance.now() - began;
    } finally {
      buffers.release();
    }
  }

  /** One embedding a query into `buffers.queries`, from the last context row's hidden state. */
  async retrieve(ask: EncodeAsk, buffers: PassBuffers, terms: RunTerms): Promise<RunTiming> {
    const { layout, width, outcomes } = this.#model;
    const count = ask.queries.length;
    buffers.outcomes.fill(0);
    buffers.surfaces.fill(0);
    ask.queries.forEach(({ outcome, offsetMs }, row) => {
      buffers.outcomes[row * outcomes + outcome] = 1;
      buffers.offsets[row] = headOffset(layout, offsetMs);
      buffers.surfaces[row * layout.surfaces + ask.surface] = 1;
    });
    return this.#head.run(
      {
        hidden: { data: buffers.hidden.subarray(buffers.hidden.length - width), shape: [1, width] },
        outcomes: { data: buffers.outcomes, shape: [count, outcomes] },
        offsets: { data: buffers.offsets, shape: [count, 1] },
        surfaces: { data: buffers.surfaces, shape: [count, layout.surfaces] },
      },
      { queries: { data: buffers.queries, shape: [count, layout.itemDimension] } },
      terms,
    );
  }
}

/** Rows of the request itself: their hidden states are for the queries, and nothing else of them is kept. */
function contextCount({ queries, contextRows }: EncodeAsk): number {
  return queries.length === 0 ? 0 : contextRows;
}

function aligned(floats: number): number {
  return Math.ceil(floats / ALIGNMENT) * ALIGNMENT;
}

function split({ data }: RunBuffer, sizes: readonly number[]): Float32Array[] {
  let at = 0;
  return sizes.map((size) => {
    const view = data.subarray(at, at + size);
    at += aligned(size);
    return view;
  });
}

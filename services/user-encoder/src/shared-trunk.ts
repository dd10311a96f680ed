import type { Graph, InferenceEngine, RunBuffer, RunTerms, Tensor } from '@onepass/inference';
import type { KvPoolWriter } from '@onepass/kv';
import type { PastToken } from '@onepass/tokens';
import type { EncodeAsk } from './encode-ask.js';
import type { ServedModel } from './served-model.js';
import { type PassPast, passRows, type Trunk, type TrunkPass, writePassRows } from './trunk.js';

/** A pass's scratch. */
interface PassBuffers {
  readonly rows: Float32Array;
  readonly positions: Float32Array;
  readonly hidden: Float32Array;
  /** Where K and V of context rows go that belong to no slot: per layer K, then V. */
  readonly unkept: readonly Float32Array[];
  release(): void;
}

/** Views on a run buffer begin on cache lines. */
const ALIGNMENT = 16;

/** The release's encode graph over KV in shared memory. */
export class SharedTrunk implements Trunk {
  readonly kv: KvPoolWriter;
  readonly #model: ServedModel;
  readonly #engine: InferenceEngine;
  readonly #graph: Graph;

  constructor(model: ServedModel, engine: InferenceEngine, graph: Graph, kv: KvPoolWriter) {
    this.#model = model;
    this.#engine = engine;
    this.#graph = graph;
    this.kv = kv;
  }

  get isIdle(): boolean {
    return this.#engine.running + this.#engine.queued === 0;
  }

  /** K and V of the new rows are written in place behind the held ones; those of the context rows lie behind the last token, where nobody reads. */
  async encode(past: PassPast, ask: EncodeAsk, terms: RunTerms): Promise<TrunkPass> {
    const rows = passRows(past, ask);
    const buffers = this.#takeBuffers(rows, past);
    try {
      writePassRows(this.#model, past, ask, buffers.rows);
      const timing = await this.#run(past, rows, buffers, terms);
      const { slot, tokens, head } = past;
      if (slot !== undefined && tokens.length > 0)
        this.kv.publish(slot, { length: slot.length + tokens.length, ...head, isLossy: false });
      return { hidden: buffers.hidden.slice(-this.#model.width), timing };
    } finally {
      buffers.release();
    }
  }

  /** Encodes a made-up history of so many tokens from nothing, keeps nothing of it, and answers how long that took, in ms. */
  async timeEncode(tokens: number): Promise<number> {
    const token: PastToken = { itemRow: 0, actions: [], surface: -1, timeMs: 0 };
    const made = { tokens: Array<PastToken>(tokens).fill(token), texts: new Map(), head: { sequence: 0, hash: 0n } };
    const whole: PassPast = { ...made, slot: undefined, previousMs: undefined, lastMs: 0 };
    const nothing = { queries: [], contextRows: 0 } as unknown as EncodeAsk;
    const began = performance.now();
    await this.encode(whole, nothing, {});
    return performance.now() - began;
  }

  #run({ slot }: PassPast, rows: number, buffers: PassBuffers, terms: RunTerms) {
    const { layout, layers, width } = this.#model;
    const tensors = slot && this.kv.tensors(slot);
    const length = slot?.length ?? 0;
    for (let row = 0; row < rows; row++) buffers.positions[row] = length + row;
    const inputs: Record<string, Tensor> = {
      rows: { data: buffers.rows, shape: [rows, layout.features] },
      positions: { data: buffers.positions, shape: [rows] },
    };
    const outputs: Record<string, Tensor> = { hidden: { data: buffers.hidden, shape: [rows, width] } };
    const held = length * width;
    const end = held + rows * width;
    for (let layer = 0; layer < layers; layer++) {
      const key = tensors?.keys[layer] ?? buffers.unkept[2 * layer]!;
      const value = tensors?.values[layer] ?? buffers.unkept[2 * layer + 1]!;
      inputs[`past_key_${layer}`] = { data: key.subarray(0, held), shape: [length, width] };
      inputs[`past_value_${layer}`] = { data: value.subarray(0, held), shape: [length, width] };
      outputs[`key_${layer}`] = { data: key.subarray(held, end), shape: [rows, width] };
      outputs[`value_${layer}`] = { data: value.subarray(held, end), shape: [rows, width] };
    }
    return this.#graph.run(inputs, outputs, terms);
  }

  /** Must be released once no run uses them. */
  #takeBuffers(rows: number, { slot }: PassPast): PassBuffers {
    const { layout, width, layers } = this.#model;
    const unkept = slot === undefined ? 2 * layers : 0;
    const sizes = [rows * layout.features, rows, rows * width, ...Array<number>(unkept).fill(rows * width)];
    const taken = this.#engine.buffers.take(sizes.reduce((sum, size) => sum + aligned(size), 0));
    const [rowsView, positions, hidden, ...rest] = split(taken, sizes);
    const views = { rows: rowsView!, positions: positions!, hidden: hidden!, unkept: rest };
    return { ...views, release: () => taken.release() };
  }
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

import { createRequire } from 'node:module';
import { setImmediate } from 'node:timers/promises';
import type { AnyTensors, Graph, InferenceEngine, RunTerms, Tensor } from '@onepass/inference';
import type { KvShape, KvTensors } from '@onepass/kv';
import type { WarmCodec } from './entry.js';

/** Packs K and V of a slot's first tokens into a payload, and back. */
export interface Codec {
  readonly name: WarmCodec;
  /** Whether the same bits come back. */
  readonly exact: boolean;
  payloadBytes(tokens: number): number;
  /**
   * @param payload of `payloadBytes(tokens)`, on 4 bytes, in memory that does not move
   * @returns whether all numbers are finite, packed; if not, the payload is of no use
   * @throws OnepassError whatever a graph run throws
   */
  encode(tensors: KvTensors, tokens: number, payload: Buffer, terms: RunTerms): Promise<boolean>;
  /**
   * Writes the first `tokens` of each tensor and nothing behind them. Once it has answered or thrown, nothing writes any more.
   * @throws OnepassError whatever a graph run throws
   */
  decode(payload: Buffer, tokens: number, into: KvTensors, terms: RunTerms): Promise<void>;
}

/** @throws OnepassError `startup` naming a graph that cannot be loaded */
export async function openCodec(name: WarmCodec, engine: InferenceEngine, shape: KvShape): Promise<Codec> {
  // By the package's name: a program that is one file lies elsewhere.
  const { resolve } = createRequire(import.meta.url);
  const load = (graph: string) => engine.load(resolve(`@onepass/warm-tier/graphs/${graph}.onnx`));
  const encode = await load(`${name}-encode`);
  if (name === 'f32') return new ExactCodec(encode, shape);
  return new LossyCodec(name, { encode, decode: await load(`${name}-decode`) }, shape);
}

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;
/** Copied without a pause: about a millisecond. */
const COPY_FLOATS = 1 << 20;

/** K, V of layer 0, then of layer 1, and so on: the order of all payloads. */
function inOrder({ keys, values }: KvTensors): Float32Array[] {
  return keys.flatMap((key, layer) => [key, values[layer]!]);
}

/** The numbers as they lie in the slot. They are copied by a graph on the way out, where time does not matter and the event loop does. */
class ExactCodec implements Codec {
  readonly name = 'f32';
  readonly exact = true;
  readonly #encode: Graph;
  readonly #shape: KvShape;

  constructor(encode: Graph, shape: KvShape) {
    this.#encode = encode;
    this.#shape = shape;
  }

  payloadBytes(tokens: number): number {
    const { layers, width } = this.#shape;
    return 2 * layers * tokens * width * FLOAT_BYTES;
  }

  async encode(tensors: KvTensors, tokens: number, payload: Buffer, terms: RunTerms): Promise<boolean> {
    const packed = this.#views(payload, tokens);
    const proofs = new Proofs();
    for (const [index, tensor] of inOrder(tensors).entries()) {
      const shape = [tokens, this.#shape.width];
      const outputs = { packed: { data: packed[index]!, shape }, proof: proofs.tensor };
      await this.#encode.run({ tensor: prefix(tensor, shape) }, outputs, terms);
      if (!proofs.finite) return false;
    }
    return true;
  }

  async decode(payload: Buffer, tokens: number, into: KvTensors, { signal }: RunTerms): Promise<void> {
    const packed = this.#views(payload, tokens);
    let copied = 0;
    for (const [index, tensor] of inOrder(into).entries()) {
      tensor.set(packed[index]!);
      copied += packed[index]!.length;
      if (copied < COPY_FLOATS) continue;
      copied = 0;
      await setImmediate();
      signal?.throwIfAborted();
    }
  }

  #views({ buffer, byteOffset }: Buffer, tokens: number): Float32Array[] {
    const { layers, width } = this.#shape;
    const floats = tokens * width;
    return Array.from(
      { length: 2 * layers },
      (_, index) => new Float32Array(buffer, byteOffset + index * floats * FLOAT_BYTES, floats),
    );
  }
}

/** By graphs both ways: one run a tensor, from the slot and into it, without a copy in between. */
class LossyCodec implements Codec {
  readonly name: 'f16' | 'i8';
  readonly exact = false;
  readonly #graphs: { readonly encode: Graph; readonly decode: Graph };
  readonly #shape: KvShape;

  constructor(name: 'f16' | 'i8', graphs: { readonly encode: Graph; readonly decode: Graph }, shape: KvShape) {
    this.name = name;
    this.#graphs = graphs;
    this.#shape = shape;
  }

  payloadBytes(tokens: number): number {
    const { layers, width } = this.#shape;
    return this.name === 'f16'
      ? 2 * layers * tokens * width * Uint16Array.BYTES_PER_ELEMENT
      : 2 * layers * width * (2 * FLOAT_BYTES + tokens);
  }

  async encode(tensors: KvTensors, tokens: number, payload: Buffer, terms: RunTerms): Promise<boolean> {
    const proofs = new Proofs();
    for (const [index, tensor] of inOrder(tensors).entries()) {
      const outputs = { ...this.#packed(payload, tokens, index), proof: proofs.tensor };
      await this.#graphs.encode.run({ tensor: prefix(tensor, [tokens, this.#shape.width]) }, outputs, terms);
      if (!proofs.finite) return false;
    }
    return true;
  }

  async decode(payload: Buffer, tokens: number, into: KvTensors, terms: RunTerms): Promise<void> {
    const runs = inOrder(into).map((tensor, index) =>
      this.#graphs.decode.run(
        this.#packed(payload, tokens, index),
        { tensor: prefix(tensor, [tokens, this.#shape.width]) },
        terms,
      ),
    );
    // All of them have let go of the tensors before this throws.
    const failed = (await Promise.allSettled(runs)).find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** What the graphs take or give of one tensor, in place. For i8 the steps and middles of all tensors come first, so that they lie on 4 bytes. */
  #packed({ buffer, byteOffset }: Buffer, tokens: number, index: number): AnyTensors {
    const { layers, width } = this.#shape;
    const shape = [tokens, width];
    const numbers = tokens * width;
    if (this.name === 'f16') {
      const at = byteOffset + index * numbers * Uint16Array.BYTES_PER_ELEMENT;
      return { packed: { data: new Uint16Array(buffer, at, numbers), shape } };
    }
    const channels = (which: number): Tensor => ({
      data: new Float32Array(buffer, byteOffset + (2 * index + which) * width * FLOAT_BYTES, width),
      shape: [1, width],
    });
    const at = byteOffset + 4 * layers * width * FLOAT_BYTES + index * numbers;
    return { packed: { data: new Int8Array(buffer, at, numbers), shape }, step: channels(0), middle: channels(1) };
  }
}

/** Where a graph says whether all numbers were finite. */
class Proofs {
  // An array of a few bytes would lie in JavaScript's heap, which moves.
  readonly #memory = new Float32Array(32);
  readonly tensor: Tensor = { data: this.#memory.subarray(0, 1), shape: [] };

  get finite(): boolean {
    return this.#memory[0] === 0;
  }
}

function prefix(tensor: Float32Array, shape: readonly [number, number] | number[]): Tensor {
  const [tokens = 0, width = 0] = shape;
  return { data: tensor.subarray(0, tokens * width), shape };
}

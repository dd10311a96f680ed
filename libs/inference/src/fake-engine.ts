import { basename } from 'node:path';
import { startupError } from '@onepass/errors';
import { heapMemory } from '@onepass/shared-memory';
import { BufferPool } from './buffers.js';
import type { AnyTensors, Graph, InferenceEngine, RunTiming, Tensors } from './engine.js';
import { RunQueue } from './run-queue.js';
import { checkTensors, type TensorSpec } from './tensors.js';

/** A graph made of a function that fills `outputs`. Specs are checked as ONNX Runtime's are. */
export interface FakeGraph {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Tensors are what the specs say; one of other types than float32 may declare `AnyTensors`. */
  run(inputs: Tensors, outputs: Tensors): void | Promise<void>;
}

/** An engine of given functions by file name, for tests: the same queue and the same checks, no native code. */
export class FakeEngine implements InferenceEngine {
  readonly provider = 'cpu';
  readonly providerReason = 'fake';
  readonly buffers = new BufferPool(heapMemory);
  readonly #graphs: Readonly<Record<string, FakeGraph>>;
  readonly #queue: RunQueue;

  constructor(graphs: Readonly<Record<string, FakeGraph>>, inFlight = 1, maxQueued = 256) {
    this.#graphs = graphs;
    this.#queue = new RunQueue({ lanes: inFlight, maxQueued });
  }

  get queued(): number {
    return this.#queue.queued;
  }

  get running(): number {
    return this.#queue.running;
  }

  get started(): number {
    return this.#queue.started;
  }

  async load(path: string): Promise<Graph> {
    const name = basename(path);
    const graph = this.#graphs[name];
    if (graph === undefined)
      throw startupError(`graph "${path}" cannot be loaded: the fake engine has none of this name`);
    return {
      inputs: graph.inputs.map((spec) => spec.name),
      outputs: graph.outputs.map((spec) => spec.name),
      run: async (inputs: AnyTensors, outputs: AnyTensors, terms) => {
        checkTensors(name, [graph.inputs, inputs], [graph.outputs, outputs]);
        return this.#queue.schedule(async (): Promise<RunTiming> => {
          await graph.run(inputs as Tensors, outputs as Tensors);
          return { queueMicros: 0, runMicros: 0 };
        }, terms);
      },
    };
  }

  async close(): Promise<void> {
    await this.#queue.idle();
  }
}

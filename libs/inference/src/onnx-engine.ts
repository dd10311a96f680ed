import { type OnepassError, startupError } from '@onepass/errors';
import { allocateMapped, koffi } from '@onepass/shared-memory';
import { BufferPool } from './buffers.js';
import { chooseDevice, type DeviceChoice } from './device/choose-device.js';
import { DeviceFaults } from './device/faults.js';
import type { DeviceName, Graph, InferenceEngine } from './engine.js';
import { type GraphHost, type Lane, MAX_TENSORS, OnnxGraph } from './onnx-graph.js';
import { loadOnnxRuntime, type OnnxRuntime } from './onnxruntime.js';
import { RunQueue } from './run-queue.js';
import { makeSessionOptions } from './session-options.js';

export interface EngineOptions {
  /** `auto` is the first CUDA device where there is one, else the CPU. */
  readonly provider: DeviceName | 'auto';
  /** Runs at one time over all graphs; below UV_THREADPOOL_SIZE, whose threads they take. */
  readonly inFlight: number;
  /** Threads inside one run. */
  readonly threads: number;
  /** Of ONNX Runtime's libraries; absent or empty = those of the npm package, which know the CPU only. */
  readonly libraryDirectory?: string | undefined;
  /** Called once, when a CUDA device failed so that nothing runs in this process any more: it can only end. */
  readonly onLost?: (error: OnepassError) => void;
}

const LIBUV_DEFAULT_THREADS = 4;
/** A run that waits behind this many more is late for any page; the bound is for calls without a deadline. */
const MAX_QUEUED = 256;
const LANE_BYTES = MAX_TENSORS * BigUint64Array.BYTES_PER_ELEMENT;

/**
 * ONNX Runtime through its C API. One engine a process: it owns the bound on runs in flight.
 * @throws OnepassError `startup`, one sentence.
 */
export function createEngine(options: EngineOptions): InferenceEngine {
  requireThreads(options.inFlight);
  const runtime = loadOnnxRuntime(options.libraryDirectory);
  return new OnnxEngine(runtime, options, chooseDevice(options.provider, runtime));
}

class OnnxEngine implements InferenceEngine {
  readonly provider: DeviceName;
  readonly providerReason: string;
  readonly buffers = new BufferPool();
  readonly #host: GraphHost;
  readonly #graphs: OnnxGraph[] = [];

  constructor(runtime: OnnxRuntime, options: EngineOptions, { name, reason, index }: DeviceChoice) {
    this.provider = name;
    this.providerReason = reason;
    const cuda = index === undefined ? undefined : { options: { device_id: String(index) } };
    this.#host = {
      runtime,
      sessionOptions: makeSessionOptions(runtime, options.threads, cuda),
      queue: new RunQueue({ lanes: options.inFlight, maxQueued: MAX_QUEUED }),
      faults: new DeviceFaults(name, options.onLost ?? (() => {})),
      lanes: makeLanes(runtime, options.inFlight),
    };
  }

  get queued(): number {
    return this.#host.queue.queued;
  }

  get running(): number {
    return this.#host.queue.running;
  }

  get started(): number {
    return this.#host.queue.started;
  }

  async load(path: string): Promise<Graph> {
    const graph = await OnnxGraph.load(this.#host, path);
    this.#graphs.push(graph);
    return graph;
  }

  async close(): Promise<void> {
    const { runtime, queue, lanes, sessionOptions } = this.#host;
    await queue.idle();
    for (const graph of this.#graphs.splice(0)) graph.release();
    for (const lane of lanes) runtime.releaseRunOptions(lane.runOptions);
    runtime.releaseSessionOptions(sessionOptions);
    this.buffers.close();
  }
}

/** Files and names wait on libuv's threads too: at least one must be left when all runs are in flight. */
function requireThreads(inFlight: number): void {
  const set = process.env.UV_THREADPOOL_SIZE || String(LIBUV_DEFAULT_THREADS);
  if (inFlight < Number(set)) return;
  throw startupError(
    `ONEPASS_INFERENCE_IN_FLIGHT is ${inFlight} and UV_THREADPOOL_SIZE ${set}: of libuv's threads one must be left, so the latter must be at least ${inFlight + 1}`,
  );
}

/** Lanes live as long as the process: a handful of pages. */
function makeLanes(runtime: OnnxRuntime, count: number): Lane[] {
  const { buffer } = allocateMapped(count * LANE_BYTES);
  const out = new BigUint64Array(1);
  return Array.from({ length: count }, (_, lane) => {
    runtime.check(runtime.createRunOptions(out));
    const values = new BigUint64Array(buffer, lane * LANE_BYTES, MAX_TENSORS);
    return { runOptions: out[0]!, values, valuesAddress: koffi.address(values), held: undefined };
  });
}

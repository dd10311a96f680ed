import { basename } from 'node:path';
import { OnepassError, startupError, unavailable } from '@onepass/errors';
import { RunQueue } from '../run-queue.js';
import type { TensorSpec } from '../tensors.js';
import { TimedQueue } from '../timed-queue.js';
import type {
  DeviceBuffer,
  DeviceEngine,
  DeviceGraph,
  DeviceMemoryUse,
  DevicePart,
  Dimensions,
  HostArray,
  HostArrays,
  PreparedRun,
  Resident,
} from './device.js';
import { DeviceFault } from './faults.js';
import { type BoundTensor, bindShapes, describeDimensions, viewOf } from './shapes.js';
import { WholeQueue } from './whole-queue.js';

/** A graph made of a function. What is resident comes in and out as arrays too, over the very memory of its buffer. */
export interface FakeDeviceGraph {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** `outputs` hold what an earlier run left there. What it throws, the run throws. */
  run(inputs: HostArrays, outputs: HostArrays, dimensions: Dimensions): void | Promise<void>;
}

export interface FakeDeviceOptions {
  /** Absent = 1. */
  readonly lanes?: number;
  /** Memory of the device; absent = without bound. */
  readonly bytes?: number;
  readonly maxQueued?: number;
  readonly onLost?: (error: OnepassError) => void;
}

interface FakeBuffer extends DeviceBuffer {
  readonly memory: ArrayBuffer;
}

/** A device of given functions by file name, for tests: the same lanes, queue, checks and limits, in the heap and without native code. */
export class FakeDeviceEngine implements DeviceEngine {
  readonly device = 'cpu';
  readonly reason = 'fake';
  readonly lanes: number;
  readonly #graphs: Readonly<Record<string, FakeDeviceGraph>>;
  readonly #options: FakeDeviceOptions;
  readonly #queue: RunQueue;
  readonly #whole: WholeQueue;
  readonly #totalBytes: number;
  #takenBytes = 0;
  #addresses = 4096n;
  #lost: OnepassError | undefined;

  constructor(graphs: Readonly<Record<string, FakeDeviceGraph>>, options: FakeDeviceOptions = {}) {
    this.lanes = options.lanes ?? 1;
    this.#graphs = graphs;
    this.#options = options;
    this.#totalBytes = options.bytes ?? Number.MAX_SAFE_INTEGER;
    this.#queue = new RunQueue({ lanes: this.lanes, maxQueued: options.maxQueued ?? 256 });
    this.#whole = new WholeQueue(this.#queue, this.lanes);
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

  memory(): DeviceMemoryUse {
    return { freeBytes: this.#totalBytes - this.#takenBytes, totalBytes: this.#totalBytes };
  }

  /** From now on every run fails as on a device that was lost; `onLost` is called the first time. */
  lose(): void {
    if (this.#lost !== undefined) return;
    this.#lost = unavailable('the device is lost: as the test has it');
    this.#options.onLost?.(this.#lost);
  }

  async allocate(bytes: number): Promise<DeviceBuffer> {
    return this.#take(bytes, `${bytes} bytes`);
  }

  clear(parts: readonly DevicePart[]): Promise<void> {
    return this.#whole.alone(async () => {
      for (const { buffer, from, to } of parts) new Uint8Array(memoryOf(buffer), from, to - from).fill(0);
    });
  }

  async write(buffer: DeviceBuffer, at: number, data: HostArray): Promise<void> {
    await this.#queue.schedule(async () => new Uint8Array(memoryOf(buffer)).set(bytesOf(data), at));
  }

  async read(buffer: DeviceBuffer, at: number, data: HostArray): Promise<void> {
    await this.#queue.schedule(async () => bytesOf(data).set(new Uint8Array(memoryOf(buffer), at, data.byteLength)));
  }

  async load(path: string): Promise<DeviceGraph> {
    const name = basename(path);
    const graph = this.#graphs[name];
    if (graph === undefined)
      throw startupError(`graph "${path}" cannot be loaded: the fake device has none of this name`);
    return {
      inputs: graph.inputs,
      outputs: graph.outputs,
      capture: { on: false, reason: 'fake' },
      prepare: (dimensions, resident, warm) => this.#prepare(name, graph, dimensions, resident, warm),
    };
  }

  async close(): Promise<void> {
    await this.#queue.idle();
  }

  async #prepare(
    name: string,
    graph: FakeDeviceGraph,
    dimensions: Dimensions,
    resident: Resident,
    warm: (inputs: HostArrays) => void = () => {},
  ): Promise<PreparedRun> {
    const bound = bindShapes(name, graph, dimensions, resident);
    const own = [...bound.inputs, ...bound.outputs].filter(({ spec }) => resident[spec.name] === undefined);
    const laneBytes = own.reduce((sum, { bytes }) => sum + bytes, 0);
    const taken = this.#take(this.lanes * laneBytes, `graph ${name} of ${describeDimensions(dimensions)}`, false);
    const sides = (tensors: readonly BoundTensor[]) => {
      const arrays = tensors.map((tensor): [string, HostArray, boolean] => {
        const buffer = resident[tensor.spec.name];
        const memory = buffer === undefined ? new ArrayBuffer(tensor.bytes) : memoryOf(buffer);
        return [tensor.spec.name, viewOf(tensor, memory), buffer === undefined];
      });
      const some = (chosen: typeof arrays) => Object.fromEntries(chosen.map(([key, array]) => [key, array]));
      return { all: some(arrays), own: some(arrays.filter(([, , isOwn]) => isOwn)) };
    };
    const lanes = Array.from({ length: this.lanes }, () => ({
      inputs: sides(bound.inputs),
      outputs: sides(bound.outputs),
    }));
    const play = async ({ inputs, outputs }: (typeof lanes)[number], fill: (inputs: HostArrays) => void) => {
      if (this.#lost !== undefined) throw this.#lost;
      fill(inputs.own);
      await graph.run(inputs.all, outputs.all, dimensions);
    };
    try {
      await this.#whole.alone(async () => {
        for (const lane of lanes) await play(lane, warm);
      });
    } catch (error) {
      taken.close();
      throw error;
    }
    const queue = new TimedQueue(this.#queue);
    return {
      bytes: taken.bytes,
      isCaptured: false,
      close: () => taken.close(),
      run: async (fill, read, terms) => {
        const { value, ...timing } = await queue.schedule(async (lane, queueMicros) => {
          const began = performance.now();
          await play(lanes[lane]!, fill);
          const value = read(lanes[lane]!.outputs.own);
          const micros = Math.round((performance.now() - began) * 1000);
          return { value, queueMicros, runMicros: micros, deviceMicros: micros };
        }, terms);
        return { value, timing };
      },
    };
  }

  #take(bytes: number, what: string, withMemory = true): FakeBuffer {
    if (bytes > this.#totalBytes - this.#takenBytes)
      throw startupError(
        `the device has no memory for ${what}: ${this.memory().freeBytes} bytes are free`,
        new DeviceFault('out of memory'),
      );
    this.#takenBytes += bytes;
    const address = this.#addresses;
    this.#addresses += BigInt(bytes + 4096);
    let open = true;
    return {
      bytes,
      address,
      memory: new ArrayBuffer(withMemory ? bytes : 0),
      close: () => {
        if (open) this.#takenBytes -= bytes;
        open = false;
      },
    };
  }
}

function memoryOf(buffer: DeviceBuffer): ArrayBuffer {
  if ('memory' in buffer && buffer.memory instanceof ArrayBuffer) return buffer.memory;
  throw new OnepassError({ kind: 'internal' }, 'internal error', { cause: new Error('a buffer of another device') });
}

function bytesOf({ buffer, byteOffset, byteLength }: HostArray): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

import { type OnepassError, startupError } from '@onepass/errors';
import type { DeviceName } from '../engine.js';
import { loadOnnxRuntime, type OnnxRuntime } from '../onnxruntime.js';
import { RunQueue } from '../run-queue.js';
import { chooseDevice, type DeviceChoice } from './choose-device.js';
import { cpuDriver } from './cpu-driver.js';
import { cudaDriver } from './cuda-driver.js';
import type { DeviceBuffer, DeviceEngine, DeviceGraph, DeviceMemoryUse, DevicePart, HostArray } from './device.js';
import { OnnxDeviceGraph } from './device-graph.js';
import { DeviceHost, type Lane } from './device-host.js';
import type { Driver, Pair } from './driver.js';
import { messageOf } from './faults.js';
import { LaneThread } from './lane-thread.js';
import { WholeQueue } from './whole-queue.js';

export interface DeviceEngineOptions {
  /** `auto` is the first CUDA device where there is one, else the CPU. */
  readonly device: DeviceName | 'auto';
  /** Runs under way at one time, over all graphs. */
  readonly lanes: number;
  /** Threads inside one run, of what runs on the CPU. */
  readonly threads: number;
  /** Runs that may wait; absent = 256. */
  readonly maxQueued?: number;
  /** Memory that one session (a graph in a lane) may take on the device, its weights too but not what is bound to it; absent = no limit. */
  readonly arenaBytes?: number;
  /** Lanes that wait for the device spin, which wakes them sooner and takes a core for each of them; absent = they sleep. */
  readonly spin?: boolean;
  /** Of ONNX Runtime's libraries; absent or empty = those of the npm package, which know the CPU only. */
  readonly libraryDirectory?: string | undefined;
  /** Called once, when the device failed so that nothing runs in this process any more: it can only end. */
  readonly onLost: (error: OnepassError) => void;
}

const MAX_QUEUED = 256;
/** Of the memory through which `write` and `read` copy. */
const STAGING_BYTES = 4 << 20;

/**
 * ONNX Runtime on one device, with IO bound to memory of the device.
 * @throws OnepassError `startup`, one sentence.
 */
export async function createDeviceEngine(options: DeviceEngineOptions): Promise<DeviceEngine> {
  const runtime = loadOnnxRuntime(options.libraryDirectory);
  const choice = chooseDevice(options.device, runtime);
  return openEngine(runtime, makeDriver(runtime, choice, options), choice.reason, options);
}

/**
 * On what `createDeviceEngine` would run, and why; nothing is opened.
 * @throws OnepassError `startup`, one sentence
 */
export function findDevice({
  device,
  libraryDirectory,
}: Pick<DeviceEngineOptions, 'device' | 'libraryDirectory'>): Pick<DeviceChoice, 'name' | 'reason'> {
  const { name, reason } = chooseDevice(device, loadOnnxRuntime(libraryDirectory));
  return { name, reason };
}

/** @throws OnepassError `startup` */
function makeDriver(
  runtime: OnnxRuntime,
  choice: DeviceChoice,
  { threads, arenaBytes, spin }: DeviceEngineOptions,
): Driver {
  if (choice.name === 'cpu') return cpuDriver(runtime, threads);
  try {
    return cudaDriver(runtime, choice.cuda, { device: choice.index, threads, arenaBytes, spin });
  } catch (error) {
    throw startupError(`device ${choice.name} cannot be used: ${messageOf(error)}`, error);
  }
}

/**
 * The engine over a driver.
 * @throws OnepassError `startup`
 */
export async function openEngine(
  runtime: OnnxRuntime,
  driver: Driver,
  reason: string,
  options: Pick<DeviceEngineOptions, 'lanes' | 'maxQueued' | 'onLost'>,
): Promise<DeviceEngine> {
  const lanes: Lane[] = [];
  const queue = new RunQueue({ lanes: options.lanes, maxQueued: options.maxQueued ?? MAX_QUEUED });
  const whole = new WholeQueue(queue, options.lanes);
  const host = new DeviceHost({ runtime, driver, queue, whole, lanes }, options.onLost);
  const engine = new OnnxDeviceEngine(host, reason, options.lanes);
  try {
    while (lanes.length < options.lanes) {
      const lane = { driver: driver.openLane(), thread: new LaneThread(`${driver.name} lane ${lanes.length}`) };
      lanes.push(lane);
      await host.play(lane, lane.driver.start);
    }
    return engine;
  } catch (error) {
    await engine.close();
    throw startupError(`device ${driver.name} cannot be used: ${messageOf(error)}`, error);
  }
}

class OnnxDeviceEngine implements DeviceEngine {
  readonly device: DeviceName;
  readonly reason: string;
  readonly lanes: number;
  readonly #host: DeviceHost;
  readonly #driver: Driver;
  readonly #graphs: OnnxDeviceGraph[] = [];
  #closed: Promise<void> | undefined;
  /** By lane, made when first used. */
  readonly #staging: (Pair | undefined)[] = [];

  constructor(host: DeviceHost, reason: string, lanes: number) {
    this.device = host.driver.name;
    this.reason = reason;
    this.lanes = lanes;
    this.#host = host;
    this.#driver = host.driver;
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

  memory(): DeviceMemoryUse {
    this.#host.requireDevice();
    try {
      return this.#driver.memory();
    } catch (error) {
      throw this.#host.faults.runError('memory', error);
    }
  }

  async allocate(bytes: number): Promise<DeviceBuffer> {
    this.#host.requireDevice();
    let address: bigint;
    try {
      address = this.#driver.allocate(bytes);
    } catch (error) {
      const fault = this.#host.faults.noticed(error);
      const why = fault.kind === 'memory' ? '' : `: ${fault.message}`;
      throw startupError(`${this.device} has not the ${bytes} bytes that are to be resident${why}`, fault);
    }
    const buffer: DeviceBuffer = {
      bytes,
      address,
      close: () => {
        if (this.#host.buffers.delete(buffer)) this.#driver.free(address);
      },
    };
    this.#host.buffers.add(buffer);
    return buffer;
  }

  clear(parts: readonly DevicePart[]): Promise<void> {
    for (const { buffer, from, to } of parts) requireRange(buffer, from, to - from);
    return this.#host.whole.alone(async () => {
      this.#host.requireDevice();
      this.#host.requireOpen(parts.map(({ buffer }) => buffer));
      const lane = this.#host.lanes[0]!;
      const steps = parts.map(({ buffer, from, to }) => lane.driver.zero(buffer.address + BigInt(from), to - from));
      await this.#native('clear', () => this.#host.play(lane, [...steps, ...lane.driver.finish]));
    });
  }

  async write(buffer: DeviceBuffer, at: number, data: HostArray): Promise<void> {
    await this.#copy('in', buffer, at, data);
  }

  async read(buffer: DeviceBuffer, at: number, data: HostArray): Promise<void> {
    await this.#copy('out', buffer, at, data);
  }

  async load(path: string, options: { readonly capture?: boolean } = {}): Promise<DeviceGraph> {
    this.#host.requireDevice();
    const { capture = true } = options;
    return this.#host.whole.alone(async () => {
      this.#host.requireDevice();
      const graph = await OnnxDeviceGraph.load(this.#host, path, capture);
      this.#graphs.push(graph);
      return graph;
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { lanes, buffers } = this.#host;
    await this.#host.drain();
    // Where the device is lost nobody can give a session back; all the rest can be.
    for (const graph of this.#graphs.splice(0)) await graph.close().catch(() => {});
    for (const staging of this.#staging.splice(0)) staging?.close();
    for (const buffer of [...buffers]) buffer.close();
    for (const { thread, driver } of lanes) {
      await thread.close();
      driver.close();
    }
    this.#driver.close();
  }

  /** Through memory of the lane: what JavaScript holds may move. */
  #copy(direction: 'in' | 'out', buffer: DeviceBuffer, at: number, data: HostArray): Promise<void> {
    requireRange(buffer, at, data.byteLength);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.#host.queue.schedule(async (index) => {
      this.#host.requireDevice();
      this.#host.requireOpen([buffer]);
      const lane = this.#host.lanes[index]!;
      await this.#native(`copy ${direction}`, async () => {
        this.#staging[index] ??= lane.driver.pair(STAGING_BYTES);
        const { hostAddress } = this.#staging[index];
        const host = new Uint8Array(this.#staging[index].host);
        for (let done = 0; done < bytes.length; done += STAGING_BYTES) {
          const part = bytes.subarray(done, done + STAGING_BYTES);
          const device = buffer.address + BigInt(at + done);
          if (direction === 'in') host.set(part);
          const [to, from] = direction === 'in' ? [device, hostAddress] : [hostAddress, device];
          await this.#host.play(lane, [lane.driver.copy(direction, to, from, part.length), ...lane.driver.finish]);
          if (direction === 'out') part.set(host.subarray(0, part.length));
        }
      });
    });
  }

  async #native<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#host.faults.runError(what, error);
    }
  }
}

function requireRange({ bytes }: DeviceBuffer, at: number, count: number): void {
  if (at < 0 || count < 0 || at + count > bytes) throw new RangeError(`bytes ${at} to ${at + count} of ${bytes}`);
}

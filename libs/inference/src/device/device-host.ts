import { type OnepassError, unavailable } from '@onepass/errors';
import { koffi } from '@onepass/shared-memory';
import type { OnnxRuntime } from '../onnxruntime.js';
import type { RunQueue } from '../run-queue.js';
import { graphDefect } from '../tensors.js';
import type { DeviceBuffer } from './device.js';
import type { Driver, LaneDriver } from './driver.js';
import { DeviceFault, DeviceFaults, faultOfCode, messageOf } from './faults.js';
import type { LaneThread } from './lane-thread.js';
import type { Played, Step } from './step.js';
import type { WholeQueue } from './whole-queue.js';

/** One lane: its thread, and its stream on the device. */
export interface Lane {
  readonly thread: LaneThread;
  readonly driver: LaneDriver;
}

/** Everything that graphs of one device engine share. */
export class DeviceHost {
  readonly runtime: OnnxRuntime;
  readonly driver: Driver;
  readonly queue: RunQueue;
  readonly whole: WholeQueue;
  readonly lanes: readonly Lane[];
  readonly faults: DeviceFaults;
  /** Device memory that was not given back. */
  readonly buffers = new Set<DeviceBuffer>();
  #closed = false;
  /** Numbers of captured runs, in all lanes; 0 would be one for all. */
  captures = 0;

  constructor(
    parts: Pick<DeviceHost, 'runtime' | 'driver' | 'queue' | 'whole' | 'lanes'>,
    onLost: (error: OnepassError) => void,
  ) {
    this.faults = new DeviceFaults(parts.driver.name, onLost);
    this.runtime = parts.runtime;
    this.driver = parts.driver;
    this.queue = parts.queue;
    this.whole = parts.whole;
    this.lanes = parts.lanes;
  }

  /** Before anything that uses the device. @throws OnepassError `unavailable` when it is lost, or the engine closed */
  requireDevice(): void {
    this.faults.requireDevice();
    if (this.#closed) throw unavailable('the device engine is closed');
  }

  /** Before anything that touches these: to touch what was given back would end the process, or write to what is somebody else's by now. @throws OnepassError `internal` */
  requireOpen(buffers: Iterable<DeviceBuffer>): void {
    for (const buffer of buffers)
      if (!this.buffers.has(buffer)) throw graphDefect(`device memory of ${buffer.bytes} bytes was given back`);
  }

  /** Nothing begins any more; resolves when all that was asked for before is done. */
  async drain(): Promise<void> {
    await this.whole.alone(async () => {
      this.#closed = true;
    });
    await this.queue.idle();
  }

  /** @throws DeviceFault of the worst of the steps that failed; a lost device is told at once */
  check({ failed }: Played, steps: readonly Step[]): void {
    if (failed.length === 0) return;
    const faults = failed.map(({ step, result }) => this.#faultOf(steps[step]!, result));
    throw this.faults.noticed(
      faults.find(({ kind }) => kind === 'lost') ?? faults.find(({ kind }) => kind === 'memory') ?? faults[0]!,
    );
  }

  /** Plays steps in a lane that nobody else uses. @throws DeviceFault */
  async play({ thread }: Lane, steps: readonly Step[]): Promise<Played> {
    const played = await thread.play(steps);
    this.check(played, steps);
    return played;
  }

  #faultOf({ signature }: Step, result: bigint): DeviceFault {
    if (signature.startsWith('c')) {
      const code = Number(result);
      return new DeviceFault(this.driver.describe(code), faultOfCode(code));
    }
    try {
      this.runtime.check(result);
    } catch (error) {
      return new DeviceFault(messageOf(error));
    }
    return new DeviceFault('a native call failed', 'other');
  }
}

/** Memory for one address that a native call gives back; off the heap, so that it does not move. */
export class Out {
  readonly #cell = new BigUint64Array(16);
  readonly address = koffi.address(this.#cell);

  get value(): bigint {
    return this.#cell[0]!;
  }
}

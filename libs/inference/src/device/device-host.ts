import { OnepassError, overloaded, unavailable } from '@onepass/errors';
import { koffi } from '@onepass/shared-memory';
import { messageOf } from '../onnx-graph.js';
import type { OnnxRuntime } from '../onnxruntime.js';
import type { RunQueue } from '../run-queue.js';
import { graphDefect } from '../tensors.js';
import type { Driver, LaneDriver } from './driver.js';
import { type FaultKind, faultOfCode, faultOfMessage } from './faults.js';
import type { LaneThread } from './lane-thread.js';
import type { Played, Step } from './step.js';
import type { WholeQueue } from './timed-queue.js';

/** When a run that found no memory may be tried again: others of its size end by then. */
const RETRY_MS = 100;

/** One lane: its thread, and its stream on the device. */
export interface Lane {
  readonly thread: LaneThread;
  readonly driver: LaneDriver;
}

/** What a native call failed with, and what that means. */
export class DeviceFault extends Error {
  readonly kind: FaultKind;

  constructor(message: string, kind: FaultKind) {
    super(message);
    this.kind = kind;
  }
}

/** Everything that graphs of one device engine share. */
export class DeviceHost {
  readonly runtime: OnnxRuntime;
  readonly driver: Driver;
  readonly queue: RunQueue;
  readonly whole: WholeQueue;
  readonly lanes: readonly Lane[];
  readonly #onLost: (error: OnepassError) => void;
  #lost: OnepassError | undefined;
  #closed = false;
  /** Numbers of captured runs, in all lanes; 0 would be one for all. */
  captures = 0;

  constructor(
    parts: Pick<DeviceHost, 'runtime' | 'driver' | 'queue' | 'whole' | 'lanes'>,
    onLost: (error: OnepassError) => void,
  ) {
    this.runtime = parts.runtime;
    this.driver = parts.driver;
    this.queue = parts.queue;
    this.whole = parts.whole;
    this.lanes = parts.lanes;
    this.#onLost = onLost;
  }

  /** Before anything that uses the device. @throws OnepassError `unavailable` when it is lost, or the engine closed */
  requireDevice(): void {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#closed) throw unavailable('the device engine is closed');
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
    throw this.noticed(
      faults.find(({ kind }) => kind === 'lost') ?? faults.find(({ kind }) => kind === 'memory') ?? faults[0]!,
    );
  }

  /** Plays steps in a lane that nobody else uses. @throws DeviceFault */
  async play({ thread }: Lane, steps: readonly Step[]): Promise<Played> {
    const played = await thread.play(steps);
    this.check(played, steps);
    return played;
  }

  /** What was thrown, as a fault; a lost device is told at once. */
  noticed(thrown: unknown): DeviceFault {
    const message = messageOf(thrown);
    const fault = thrown instanceof DeviceFault ? thrown : new DeviceFault(message, faultOfMessage(message));
    if (fault.kind === 'lost' && this.#lost === undefined) {
      this.#lost = unavailable(`the device ${this.driver.name} is lost`, fault);
      this.#onLost(this.#lost);
    }
    return fault;
  }

  /** What a run's caller is told of a fault. */
  runError(graph: string, thrown: unknown): OnepassError {
    if (thrown instanceof OnepassError) return thrown;
    const fault = this.noticed(thrown);
    if (fault.kind === 'lost') return this.#lost!;
    if (fault.kind === 'memory') return overloaded(RETRY_MS, `${this.driver.name} has no memory left for this run`);
    return graphDefect(`graph ${graph}: ${fault.message}`);
  }

  #faultOf({ signature }: Step, result: bigint): DeviceFault {
    if (signature.startsWith('c')) {
      const code = Number(result);
      return new DeviceFault(this.driver.describe(code), faultOfCode(code));
    }
    try {
      this.runtime.check(result);
    } catch (error) {
      return new DeviceFault(messageOf(error), faultOfMessage(messageOf(error)));
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

import { Worker } from 'node:worker_threads';
import { koffiPath } from '@onepass/shared-memory';
import { DeviceFault, messageOf } from './faults.js';
import type { FailedStep, Played, Step } from './step.js';

/** To the thread: scripts are told once and then played by number. */
type Message =
  | { readonly define: number; readonly steps: readonly Step[] }
  | { readonly forget: number }
  | { readonly play: number }
  | { readonly play: readonly Step[] };

interface Waiting {
  resolve(played: Played): void;
  reject(error: Error): void;
}

/** Steps that the thread knows. */
export interface Script {
  readonly steps: readonly Step[];
  play(): Promise<Played>;
  /** Not while it plays. */
  forget(): void;
}

/**
 * A thread that makes native calls one after the other, synchronously, and knows nothing but addresses. ONNX Runtime's CUDA provider keeps a context
 * and the captured graphs for each calling thread, so all calls of a lane come from one; asynchronous calls of koffi come from any of libuv's.
 */
export class LaneThread {
  readonly #worker: Worker;
  #scripts = 0;
  #waiting: Waiting | undefined;
  #ended: Error | undefined;

  constructor(name: string) {
    // Node's own options stay behind: some would make the text a module, or load into the thread what is meant for the process.
    const options = { eval: true, execArgv: [], name, workerData: { koffiPath } };
    this.#worker = new Worker(`(${laneProgram})(require)`, options);
    this.#worker.on('message', (played: Played) => this.#settle((waiting) => waiting.resolve(played)));
    // Nothing runs in this lane any more, and what it was at work on is not known.
    const ended = (why: string) => new DeviceFault(`thread ${name} has ended${why}`, 'lost');
    this.#worker.on('error', (error) => this.#end(ended(`: ${messageOf(error)}`)));
    this.#worker.on('exit', () => this.#end(ended('')));
    this.#worker.unref();
  }

  /** Plays steps once. One play at a time. Memory that they name must stay until it is done. */
  play(steps: readonly Step[]): Promise<Played> {
    return this.#play({ play: steps });
  }

  define(steps: readonly Step[]): Script {
    const script = this.#scripts++;
    this.#post({ define: script, steps });
    return { steps, play: () => this.#play({ play: script }), forget: () => this.#post({ forget: script }) };
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #play(message: Message): Promise<Played> {
    if (this.#waiting !== undefined) return Promise.reject(new Error('the lane plays already'));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      // The process must not end while somebody waits for a run, and may when nobody does.
      this.#worker.ref();
      this.#post(message);
      if (this.#ended !== undefined) this.#end(this.#ended);
    });
  }

  #post(message: Message): void {
    if (this.#ended === undefined) this.#worker.postMessage(message);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#settle((waiting) => waiting.reject(this.#ended!));
  }

  #settle(how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#worker.unref();
    if (waiting !== undefined) how(waiting);
  }
}

/** What the thread does. It travels as text, so that it needs no file of its own: nothing outside it may be named here. */
function laneProgram(require: NodeJS.Require): void {
  const { parentPort, workerData } = require('node:worker_threads') as typeof import('node:worker_threads');
  const koffi = require(workerData.koffiPath);
  // Kernels want more than the usual 1 MiB of stack.
  koffi.config({ sync_stack_size: 4 << 20 });
  // Only a load makes the stacks of calls; a thread that never loads a library dies in its first call.
  koffi.load(null);
  const types: Record<string, string> = { s: 'void*', c: 'int', v: 'void', p: 'void*', z: 'size_t', i: 'int' };
  type Call = (...args: (bigint | number)[]) => bigint | number | null | undefined;
  const functions = new Map<string, Call>();
  type Bound = { readonly run: Call; readonly args: Step['args']; readonly always: boolean };
  const scripts = new Map<number, readonly Bound[]>();

  const functionOf = ({ call, signature }: Step): Call => {
    const key = `${call} ${signature}`;
    const known = functions.get(key);
    if (known !== undefined) return known;
    const [result, ...parameters] = [...signature].map((letter) => types[letter]);
    const made: Call = koffi.decode(call, koffi.proto(result, parameters));
    functions.set(key, made);
    return made;
  };
  const bind = (steps: readonly Step[]): Bound[] =>
    steps.map((step) => ({ run: functionOf(step), args: step.args, always: step.always === true }));
  const play = (steps: readonly Bound[]): Played => {
    const began = performance.now();
    const failed: FailedStep[] = [];
    steps.forEach(({ run, args, always }, index) => {
      if (failed.length > 0 && !always) return;
      const result = run(...args);
      if (result) failed.push({ step: index, result: BigInt(result) });
    });
    return { micros: Math.round((performance.now() - began) * 1000), failed };
  };
  parentPort!.on('message', (message: Message) => {
    if ('define' in message) scripts.set(message.define, bind(message.steps));
    else if ('forget' in message) scripts.delete(message.forget);
    else
      parentPort!.postMessage(play(typeof message.play === 'number' ? scripts.get(message.play)! : bind(message.play)));
  });
}

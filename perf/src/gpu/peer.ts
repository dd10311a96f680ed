import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { startupError } from '@onepass/errors';
import { TRAINING_SOURCES } from '../kit/shape/run-training.js';
import { LastLine } from '../last-line.js';
import type { PassKind } from './flops.js';
import type { ReadyCase, RunTimes } from './gpu-case.js';
import type { Dtype } from './options.js';

/** What PyTorch says of itself. */
export interface PeerDescription {
  readonly torch: string;
  /** CUDA of PyTorch; null where it finds no GPU. */
  readonly cuda: string | null;
  readonly device: string;
  /** That it has, what is expected to be the fastest first. */
  readonly attention: readonly string[];
  readonly compiles: boolean;
}

export interface PeerModel {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly columns: number;
  readonly embedding: number;
  readonly actions: number;
  readonly window: number;
  readonly dtype: Dtype;
  readonly seed: number;
}

export interface PeerCase {
  readonly kind: PassKind;
  readonly batch: number;
  readonly n: number;
  readonly k: number;
  readonly contexts: number;
  readonly slates: number;
  /** Of an append. */
  readonly rows: number;
  readonly attention: string;
  readonly compiled: boolean;
  readonly graphs: boolean;
}

/** Several processes compile at one time. */
const TORCHINDUCTOR_COMPILE_THREADS = '4';

/**
 * The trunk in PyTorch in a process of its own (training/src/onepass_training/peer): a request and an answer a line. Its errors are sentences, of which
 * `startup` ones here are made; one request is under way at a time.
 */
export class Peer {
  readonly #child: ChildProcessWithoutNullStreams;
  #waiting: { resolve(answer: unknown): void; reject(error: Error): void } | undefined;
  readonly #said = new LastLine();
  /** Whether it ends with this process, come what may. */
  #isHere = false;
  #isPaused = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(python: string) {
    this.#child = spawn(python, ['-m', 'onepass_training.peer'], {
      env: { TORCHINDUCTOR_COMPILE_THREADS, ...process.env, PYTHONPATH: TRAINING_SOURCES },
      stdio: 'pipe',
    });
    createInterface(this.#child.stdout).on('line', (line) => this.#answered(line));
    this.#said.listen(this.#child.stderr);
    this.#child.stdin.on('error', () => {});
    this.#child.on('error', (error) => this.#ended(`PyTorch's process ended: ${error.message}`));
    this.#child.on('close', (code) =>
      this.#ended(`PyTorch's process ended: ${this.#said.line || `exit code ${code}`}`),
    );
  }

  /** Whether its process has ended: it answers nothing any more. */
  get isGone(): boolean {
    return this.#gone !== undefined;
  }

  hello(): Promise<PeerDescription> {
    return this.#ask({ do: 'hello' });
  }

  /** Weights as the device graphs of that seed have them; what was prepared before is gone. */
  async model(device: string, model: PeerModel): Promise<void> {
    await this.#ask({ do: 'model', device, ...model });
  }

  /** Compiles and warms. */
  async prepare(asked: PeerCase): Promise<ReadyCase> {
    const number = await this.#ask<number>({ do: 'prepare', ...asked });
    const { kind, batch, rows, attention, graphs } = asked;
    return {
      case: {
        ...{ system: 'pytorch', timed: kind, batch, rows: kind === 'append' ? rows : 0 },
        ...{ attention: asked.compiled ? `${attention}, compiled` : attention, captured: graphs },
      },
      time: (runs) => this.#ask<RunTimes>({ do: 'time', case: number, runs }),
      outputs: async () => Float32Array.from(await this.#ask<number[]>({ do: 'outputs', case: number })),
    };
  }

  /** Microseconds of copies of so many bytes from pinned host memory to the device. */
  copy(bytes: number, runs: number): Promise<RunTimes> {
    return this.#ask({ do: 'copy', bytes, runs });
  }

  /** Stops whatever it does, until `resume`, so that it disturbs nobody who is timed. Only while nothing of it is. */
  pause(): void {
    this.#isPaused = true;
    // Stopped before it has seen to it that it ends with this process, it would stay behind.
    if (this.#isHere) this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#isPaused = false;
    this.#child.kill('SIGCONT');
  }

  /** Ends it in the middle of what it does. @param why for whoever waits for an answer */
  async kill(why: string): Promise<void> {
    this.#ended(why);
    this.#child.kill('SIGKILL');
    await this.#closed();
  }

  async close(): Promise<void> {
    this.resume();
    this.#child.stdin.end();
    await this.#closed();
  }

  async #closed(): Promise<void> {
    const { exitCode, signalCode, pid } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    await new Promise((resolve) => this.#child.once('close', resolve));
  }

  #ask<T>(request: object): Promise<T> {
    const answer = this.#turn.then(
      () =>
        new Promise<T>((resolve, reject) => {
          if (this.#gone !== undefined) return reject(this.#gone);
          this.#waiting = { resolve: (value) => resolve(value as T), reject };
          this.#child.stdin.write(`${JSON.stringify(request)}\n`);
        }),
    );
    this.#turn = answer.catch(() => {});
    return answer;
  }

  #gone: Error | undefined;

  #answered(line: string): void {
    const { here, ok, error } = JSON.parse(line) as { here?: true; ok?: unknown; error?: string };
    if (here) {
      this.#isHere = true;
      if (this.#isPaused) this.pause();
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error === undefined) waiting?.resolve(ok);
    else waiting?.reject(startupError(error));
  }

  #ended(why: string): void {
    this.#gone ??= startupError(why);
    this.#waiting?.reject(this.#gone);
    this.#waiting = undefined;
  }
}

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isServing } from '@onepass/contracts';
import { type OnepassError, startupError } from '@onepass/errors';
import { backOffMs } from './back-off.js';
import type { RolePlan } from './plan.js';
import { type Ending, RoleProcess } from './role-process.js';

export interface SupervisorOptions {
  /** All are started at once, but those that wait; stopped in reverse. */
  readonly plans: readonly RolePlan[];
  readonly logDir: string;
  readonly onEvent: (event: SupervisorEvent) => void;
  /** Whether the process at an address serves; gRPC health unless a test says otherwise. */
  readonly check?: (address: string) => Promise<boolean>;
  readonly startTimeoutMs?: number;
  /** Wait before restart number n. */
  readonly backOff?: (attempt: number) => number;
}

export type SupervisorEvent =
  | { readonly kind: 'serving'; readonly role: string; readonly address: string; readonly afterMs: number }
  | { readonly kind: 'ended'; readonly role: string; readonly why: string; readonly restartInMs: number };

const CHECK_EVERY_MS = 25;
const CHECK_TIMEOUT_MS = 1_000;
/** A process that has not drained by then is killed. */
const STOP_TIMEOUT_MS = 15_000;
/** A process that served this long starts its back-off anew. */
const STEADY_MS = 10_000;

/** Starts the processes of a mesh, restarts the ones that die, and leaves none behind. */
export class Supervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #roles: RoleKeeper[];

  constructor(options: SupervisorOptions) {
    this.#options = {
      check: (address) => isServing(address, CHECK_TIMEOUT_MS),
      startTimeoutMs: 60_000,
      backOff: (attempt) => backOffMs(attempt, Math.random()),
      ...options,
    };
    mkdirSync(options.logDir, { recursive: true });
    this.#roles = options.plans.map((plan) => new RoleKeeper(plan, this.#options));
  }

  /**
   * Answers when every process serves. When one cannot, the others are stopped first.
   * @throws OnepassError `startup` with the sentence of the first process that failed.
   */
  async start(): Promise<void> {
    try {
      for (const waits of [false, true])
        await Promise.all(this.#roles.filter((role) => role.waits === waits).map((role) => role.start()));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Drains the processes one after the other, the last started first. */
  async stop(): Promise<void> {
    for (const role of this.#roles) role.noRestart();
    for (const role of this.#roles.toReversed()) await role.stop();
  }

  /** Ends all processes at once, without draining. */
  kill(): void {
    for (const role of this.#roles) {
      role.noRestart();
      role.kill();
    }
  }

  /** Process ids of the moment, by role. */
  pids(): Record<string, number> {
    return Object.fromEntries(this.#roles.flatMap((role) => (role.pid === undefined ? [] : [[role.name, role.pid]])));
  }
}

/** Keeps one role running from start to stop. */
class RoleKeeper {
  readonly name: string;
  readonly waits: boolean;
  readonly #plan: RolePlan;
  readonly #options: Required<SupervisorOptions>;
  readonly #logFile: string;
  readonly #stopping = new AbortController();
  #process: RoleProcess | undefined;

  constructor(plan: RolePlan, options: Required<SupervisorOptions>) {
    this.name = plan.role;
    this.waits = plan.waits ?? false;
    this.#plan = plan;
    this.#options = options;
    this.#logFile = join(options.logDir, `${plan.role}.log`);
    rmSync(this.#logFile, { force: true });
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Answers when the role serves for the first time. From then on it is restarted whenever it ends. */
  async start(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const first = this.#spawn();
    const outcome = await this.#untilServing(first, Date.now() + this.#options.startTimeoutMs);
    if (outcome === 'stopping') return;
    if (outcome !== 'serving') throw this.#startFailure(first, outcome);
    void this.#keep(first);
  }

  noRestart(): void {
    this.#stopping.abort();
  }

  async stop(): Promise<void> {
    const stopped = this.#process;
    if (stopped === undefined) return;
    stopped.signal('SIGTERM');
    const overdue = setTimeout(() => stopped.signal('SIGKILL'), STOP_TIMEOUT_MS);
    await stopped.ended;
    clearTimeout(overdue);
  }

  kill(): void {
    this.#process?.signal('SIGKILL');
  }

  #spawn(): RoleProcess {
    const started = new RoleProcess(this.#plan, this.#logFile);
    this.#process = started;
    void started.ended.then(() => {
      if (this.#process === started) this.#process = undefined;
    });
    return started;
  }

  async #keep(first: RoleProcess): Promise<void> {
    let current = first;
    for (let attempt = 0; ; attempt += 1) {
      const since = Date.now();
      const ending = await current.ended;
      if (this.#stopping.signal.aborted) return;
      if (Date.now() - since > STEADY_MS) attempt = 0;
      const restartInMs = this.#options.backOff(attempt);
      const why = describeEnding(ending, current.lastSentence());
      this.#options.onEvent({ kind: 'ended', role: this.name, why, restartInMs });
      await delay(restartInMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      if (this.#stopping.signal.aborted) return;
      current = this.#spawn();
      await this.#untilServing(current, Infinity);
    }
  }

  /** Asks until the process serves, ends, is late, or is not wanted any more. */
  async #untilServing(started: RoleProcess, lateAt: number): Promise<'serving' | 'late' | 'stopping' | Ending> {
    const since = Date.now();
    let ending: Ending | undefined;
    void started.ended.then((e) => {
      ending = e;
    });
    for (;;) {
      const serving = await this.#options.check(this.#plan.address);
      if (this.#stopping.signal.aborted) return 'stopping';
      // Checked after the answer: another process may have answered in place of one that has ended.
      if (ending !== undefined) return ending;
      if (serving) break;
      if (Date.now() > lateAt) return 'late';
      await Promise.race([delay(CHECK_EVERY_MS), started.ended]);
    }
    const { address } = this.#plan;
    this.#options.onEvent({ kind: 'serving', role: this.name, address, afterMs: Date.now() - since });
    return 'serving';
  }

  #startFailure(failed: RoleProcess, outcome: 'late' | Ending): OnepassError {
    if (outcome === 'late') {
      const seconds = this.#options.startTimeoutMs / 1000;
      return startupError(`${this.name} was not ready within ${seconds} s; its log is ${this.#logFile}`);
    }
    const sentence = failed.lastSentence();
    return startupError(sentence ?? `${this.name} ended ${describeExit(outcome)} before it was ready; it said nothing`);
  }
}

function describeEnding(ending: Ending, sentence: string | undefined): string {
  return sentence === undefined ? `ended ${describeExit(ending)}` : `ended ${describeExit(ending)}: ${sentence}`;
}

function describeExit({ code, signal }: Ending): string {
  return signal === null ? `with exit code ${code}` : `by ${signal}`;
}

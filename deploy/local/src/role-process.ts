import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { PARENT_PIPE } from '@onepass/contracts';
import type { RolePlan } from './plan.js';

/** How a child process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * One run of one role. Its output goes straight to its log file, so that it can still write when the supervisor is gone; its
 * standard input is a pipe from the supervisor, whose end tells it so. It has a process group of its own: Ctrl-C in a
 * terminal reaches the supervisor alone, which then stops the roles in their order.
 */
export class RoleProcess {
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #logStart: number;

  constructor(plan: RolePlan, logFile: string) {
    const log = openSync(logFile, 'a');
    this.#logFile = logFile;
    this.#logStart = fstatSync(log).size;
    this.#child = spawn(process.execPath, ['--enable-source-maps', plan.program], {
      env: { ...process.env, ...plan.env, ...plan.overrides, [PARENT_PIPE]: '1' },
      stdio: ['pipe', log, log],
      detached: true,
    });
    closeSync(log);
    // Its other end may close at any time.
    this.#child.stdin?.on('error', () => {});
    this.ended = once(this.#child, 'exit').then(([code, signal]) => ({ code, signal }));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Why this run ended, in its own words: the sentence that every role leaves behind, or the error of one that could not. */
  lastSentence(): string | undefined {
    const lines = readFileSync(this.#logFile).subarray(this.#logStart).toString().split('\n');
    return lines.findLast((line) => line.startsWith('onepass ')) ?? lines.find((line) => /^\w*Error\b/.test(line));
  }
}

import { type ChildProcess, fork } from 'node:child_process';
import { EXIT_CODES } from '@onepass/errors';
import { LastLine } from '../../last-line.js';
import type { CheckOutcome, CheckReport } from './check.js';
import type { FromWorker, ToWorker } from './check-worker.js';

export interface RunChecksTerms<O> {
  /** File that serves checks (`serveChecks`). */
  readonly program: string;
  /** For the worker, beside the names of its checks. */
  readonly order: O;
  readonly names: readonly string[];
  /** Of one check, in ms. */
  readonly limitMs: number;
  /** As `performance.now()` counts: no check begins after it. Absent = there is time. */
  readonly endAt?: number | undefined;
  /** Called after each check, before the next one is waited for. */
  onReport(report: CheckReport): Promise<void>;
}

/**
 * Runs checks one after the other in a process of their own, which opens the device once for all. When it dies, or a check does not end, the check under way
 * has failed and a new process goes on behind it: none can end another.
 */
export async function runChecks<O>(terms: RunChecksTerms<O>): Promise<void> {
  let left = [...terms.names];
  while (left.length > 0 && hasTime(terms)) left = await new Worker(terms, left).done();
  for (const name of left) await terms.onReport({ name, state: 'left out', says: 'no time was left', seconds: 0 });
}

const hasTime = ({ endAt = Number.POSITIVE_INFINITY }: { readonly endAt?: number | undefined }) =>
  performance.now() < endAt;

class Worker<O> {
  readonly #terms: RunChecksTerms<O>;
  readonly #left: string[];
  readonly #child: ChildProcess;
  readonly #said = new LastLine();
  #began = performance.now();
  #limit: NodeJS.Timeout | undefined;
  /** Why it was ended from here. */
  #ended: string | undefined;
  #reports: Promise<void> = Promise.resolve();

  constructor(terms: RunChecksTerms<O>, names: readonly string[]) {
    this.#terms = terms;
    this.#left = [...names];
    this.#child = fork(terms.program, { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#said.listen(this.#child.stderr!);
    this.#child.on('message', (message) => this.#heard(message as FromWorker));
    this.#child.send({ order: terms.order, names } satisfies ToWorker<O>);
    this.#watch();
  }

  /** @returns the checks that are left for another process */
  async done(): Promise<string[]> {
    const [code, signal] = await new Promise<readonly [number | null, string | null]>((resolve) => {
      this.#child.on('close', (exit, by) => resolve([exit, by]));
      this.#child.on('error', (error) => {
        this.#said.say(error.message);
        resolve([1, null]);
      });
    });
    clearTimeout(this.#limit);
    await this.#reports;
    const [current, ...left] = this.#left;
    if (current === undefined) return [];
    // Between two checks, for want of time: nothing has failed.
    if (this.#ended === OUT_OF_TIME) return this.#left;
    await this.#report(current, { state: 'failed', says: this.#ended ?? describeEnd(code, signal, this.#said.line) });
    return left;
  }

  #heard(message: FromWorker): void {
    if (!hasTime(this.#terms)) this.#end(OUT_OF_TIME);
    const name = this.#left.shift()!;
    this.#watch();
    this.#reports = this.#reports.then(() => this.#report(name, message));
    // `done` throws it; until then nothing more is checked that nobody can keep.
    this.#reports.catch(() => this.#end('its report could not be kept'));
  }

  #watch(): void {
    clearTimeout(this.#limit);
    const { limitMs } = this.#terms;
    const why = `it did not end within ${Math.round(limitMs / 1000)} s`;
    this.#limit = setTimeout(() => this.#end(why), limitMs);
  }

  #end(why: string): void {
    this.#ended ??= why;
    this.#child.kill('SIGKILL');
  }

  #report(name: string, { state, says, numbers }: CheckOutcome): Promise<void> {
    const seconds = (performance.now() - this.#began) / 1000;
    this.#began = performance.now();
    return this.#terms.onReport({ name, state, says, ...(numbers && { numbers }), seconds });
  }
}

const OUT_OF_TIME = 'no time was left';

/** In one sentence. */
export function describeEnd(code: number | null, signal: string | null, said: string): string {
  const behind = said === '' ? '' : `: ${said}`;
  if (code === EXIT_CODES.lostDevice) return `the device was lost (exit code ${code})${behind}`;
  return signal === null ? `its process ended with code ${code}${behind}` : `its process died of ${signal}${behind}`;
}

import { writeSync } from 'node:fs';
import { EXIT_CODES } from '@onepass/errors';
import { sentenceOf } from '../sentence.js';
import { type CheckOutcome, failed } from './check.js';

/** What a worker is told, once. */
export interface ToWorker<O> {
  readonly order: O;
  readonly names: readonly string[];
}

/** What a process for one task of a check is told, once. */
export interface ToTask<O> {
  readonly order: O;
  readonly task: string;
  readonly args: unknown;
}

/** After each check, in the order of their names. */
export type FromWorker = CheckOutcome;

export interface ServedChecks {
  /** @throws what is the check's failure */
  run(name: string): Promise<CheckOutcome>;
  close(): Promise<void>;
}

export interface Served<O> {
  open(order: O): ServedChecks;
  /** @returns what the check is told. Its process ends when nothing is open any more */
  task(name: string, order: O, args: unknown): Promise<unknown>;
}

/** The program of a process that runs checks for `runChecks`, and ends with it; or one task of a check that wants a process of its own. */
export function serveChecks<O>(served: Served<O>): void {
  const orphaned = () => process.exit(1);
  process.once('disconnect', orphaned);
  process.once('message', async (message: ToWorker<O> | ToTask<O>) => {
    if ('task' in message) {
      await tell((await served.task(message.task, message.order, message.args).catch(ended)) ?? null);
      process.off('disconnect', orphaned);
      return process.disconnect();
    }
    const checks = served.open(message.order);
    for (const name of message.names) await tell(await checks.run(name).catch((error) => failed(sentenceOf(error))));
    await checks.close();
    process.exit(0);
  });
}

/** In one sentence, on standard error. */
function ended(error: unknown): never {
  writeSync(process.stderr.fd, `${sentenceOf(error)}\n`);
  process.exit(EXIT_CODES.failed);
}

/** Resolves when it is on its way: a process that ends by itself would take it along. */
function tell(message: unknown): Promise<void> {
  return new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()));
}

import { fork } from 'node:child_process';
import { LastLine } from '../../last-line.js';
import { describeEnd } from './check-runner.js';
import type { ToTask } from './check-worker.js';

/** A task in a process of its own, and how it ended. */
export interface TaskEnd<T> {
  /** What it told; undefined when it ended before. */
  readonly told: T | undefined;
  readonly code: number | null;
  /** In one sentence. */
  readonly end: string;
  readonly stdout: string;
}

export interface ForkTerms {
  /** File that serves checks (`serveChecks`). */
  readonly program: string;
  /** After so long it is ended. */
  readonly limitMs: number;
  /** Beside this process's. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a task of a program in a process of its own. */
export async function forkTask<T, O>(message: ToTask<O>, { program, limitMs, env }: ForkTerms): Promise<TaskEnd<T>> {
  const child = fork(program, {
    execArgv: [],
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const said = new LastLine();
  let [told, stdout]: [T | undefined, string] = [undefined, ''];
  said.listen(child.stderr!);
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.on('message', (answer) => {
    told = answer as T;
  });
  child.send(message);
  const limit = setTimeout(() => {
    said.say(`it did not end within ${Math.round(limitMs / 1000)} s`);
    child.kill('SIGKILL');
  }, limitMs);
  const [code, signal] = await new Promise<readonly [number | null, string | null]>((resolve) => {
    child.on('close', (exit, by) => resolve([exit, by]));
    child.on('error', (error) => {
      said.say(error.message);
      resolve([1, null]);
    });
  });
  clearTimeout(limit);
  return { told, code, end: describeEnd(code, signal, said.line), stdout };
}

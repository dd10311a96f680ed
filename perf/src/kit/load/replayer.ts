import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import { pinning } from './cores.js';
import type { ReplayTerms } from './replay.js';
import type { SentCall } from './seen.js';
import { type ActionsSeen, endOf, lastWords, type Sender, type SenderReport } from './sender.js';
import type { plainTrace } from './trace.js';
import type { TraceParameters } from './trace-events.js';

/** What the replayer is to send: a trace, or plain pages at even times. */
export type ReplayOrder = { readonly terms: ReplayTerms } & (
  | { readonly trace: TraceParameters }
  | { readonly trace?: undefined; readonly plain: Parameters<typeof plainTrace>[0] }
);

export type ReplayerTold =
  | { readonly kind: 'order'; readonly order: ReplayOrder }
  | { readonly kind: 'begin'; readonly beganMs: number };

export type ReplayerSays =
  | { readonly kind: 'ready' }
  | { readonly kind: 'seen'; readonly calls: readonly SentCall[]; readonly actions: ActionsSeen }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly message: string };

export interface ReplayerPlace {
  readonly cores?: readonly number[] | undefined;
  /** JavaScript file of replayer.program.ts; absent: the built one. */
  readonly program?: string | undefined;
}

const PROGRAM = join(repositoryRoot, 'perf', 'dist', 'kit', 'load', 'replayer.program.js');
/** From the word to begin to the trace's 0: time enough for the word to arrive. */
const LEAD_MS = 50;

/**
 * Starts the replayer in a process of its own, and its trace once it has connected.
 * @throws OnepassError `startup` when it does not start, or the trace cannot be made
 */
export async function startReplayer(
  order: ReplayOrder,
  { cores, program = PROGRAM }: ReplayerPlace = {},
): Promise<Sender> {
  const [execPath = process.execPath, ...execArgv] = [...pinning(cores), process.execPath];
  const child = fork(program, {
    execPath,
    execArgv,
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const saw = new Saw(child);
  child.send({ kind: 'order', order } satisfies ReplayerTold);
  await saw.ready;
  const beganMs = Date.now() + LEAD_MS;
  child.send({ kind: 'begin', beganMs } satisfies ReplayerTold);
  return { pid: child.pid as number, beganMs, finished: saw.finished };
}

/** Collects what the replayer says, so that what it saw is there even if it ends before its time. */
class Saw {
  readonly ready: Promise<void>;
  readonly finished: Promise<SenderReport>;
  readonly #calls: SentCall[] = [];
  #actions: ActionsSeen | undefined;
  #done = false;

  constructor(child: ChildProcess) {
    const { promise: failed, reject } = deferred();
    const { promise: ready, resolve: isReady } = deferred();
    child.on('message', (says: ReplayerSays) => {
      if (says.kind === 'ready') isReady();
      else if (says.kind === 'failed') reject(startupError(says.message));
      else if (says.kind === 'done') this.#done = true;
      else this.#heard(says);
    });
    child.on('error', (error) => reject(startupError('the replayer does not start', error)));
    // What it said last may be heard after its end.
    const ended = Promise.all([once(child, 'close'), once(child, 'disconnect')]).then(
      ([exit]) => exit as [number | null, NodeJS.Signals | null],
    );
    const said = lastWords(child.stderr);
    const endedBefore = ended.then(([code, signal]) => {
      throw startupError(`the replayer ${endOf(code, signal)} before it was ready: ${said()}`);
    });
    this.ready = Promise.race([ready, failed, endedBefore]);
    this.finished = Promise.race([failed, ended.then(([code, signal]) => this.#report(code, signal))]);
    for (const promise of [endedBefore, this.ready, this.finished]) promise.catch(() => {});
  }

  #heard({ calls, actions }: Extract<ReplayerSays, { kind: 'seen' }>): void {
    for (const call of calls) this.#calls.push(call);
    this.#actions = actions;
  }

  #report(code: number | null, signal: NodeJS.Signals | null): SenderReport {
    return {
      calls: this.#calls,
      ...(this.#actions && { actions: this.#actions }),
      notes: [],
      cutShort: this.#done ? undefined : `the replayer ${endOf(code, signal)}`,
    };
  }
}

function deferred(): { promise: Promise<never>; resolve(): void; reject(error: Error): void } {
  let resolve: () => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    [resolve, reject] = [yes, no];
  }) as Promise<never>;
  return { promise, resolve, reject };
}

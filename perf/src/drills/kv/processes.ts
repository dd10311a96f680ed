import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import { Bulletin, readTally, type Tally } from './boards.js';

/** JavaScript files of writer.program.ts and reader.program.ts. */
export interface Programs {
  readonly writer: string;
  readonly reader: string;
}

const built = (name: string) => join(repositoryRoot, 'perf', 'dist', 'drills', 'kv', `${name}.program.js`);
export const BUILT_PROGRAMS: Programs = { writer: built('writer'), reader: built('reader') };

/** A process that is there to be stopped and killed. */
class Victim {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #isKilled = false;
  /** How it ended although nobody killed it; undefined = it did not. */
  diedBy: string | undefined;

  constructor(program: string, args: readonly string[]) {
    this.#child = fork(program, args, { execArgv: [] });
    this.#ended = once(this.#child, 'exit').then(([code, signal]) => {
      if (!this.#isKilled) this.diedBy = String(signal ?? code);
    });
  }

  /** @throws OnepassError `startup` when it ends instead */
  async ready(): Promise<void> {
    const ended = this.#ended.then(() => {
      if (!this.#isKilled) throw startupError('a process of the KV drill ended before it was ready');
    });
    ended.catch(() => {}); // It is killed in time.
    await Promise.race([once(this.#child, 'message'), ended]);
  }

  tell(message: number): void {
    if (this.#child.connected) this.#child.send(message);
  }

  stop(): void {
    this.#child.kill('SIGSTOP');
  }

  goOn(): void {
    this.#child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    this.#isKilled = this.diedBy === undefined;
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

/** One life of the pool's writer. */
export class WriterProcess extends Victim {
  readonly #bulletin: () => Bulletin;

  private constructor(folder: string, run: number, program: string) {
    super(program, [folder, String(run)]);
    let open: Bulletin | undefined;
    this.#bulletin = () => {
      open ??= Bulletin.open(folder, run);
      return open;
    };
  }

  static async start(folder: string, run: number, { writer }: Programs): Promise<WriterProcess> {
    const started = new WriterProcess(folder, run, writer);
    await started.ready();
    return started;
  }

  /** In the middle of an append: tokens are written, and not published. */
  get isAppending(): boolean {
    return this.#bulletin().isAppending;
  }

  /** The next append is to take some ms. */
  linger(): void {
    this.tell(0);
  }

  get told() {
    return this.#bulletin().told;
  }
}

/** One life of a reader. */
export class ReaderProcess extends Victim {
  readonly #tally: string;

  private constructor(folder: string, number: number, program: string) {
    const tally = join(folder, `tally-${number}`);
    super(program, [folder, tally, String(number)]);
    this.#tally = tally;
  }

  /** @param run of the writer that is there */
  static async start(folder: string, number: number, run: number, { reader }: Programs): Promise<ReaderProcess> {
    const started = new ReaderProcess(folder, number, reader);
    await started.ready();
    started.tell(run);
    return started;
  }

  get tally(): Tally {
    return readTally(this.#tally);
  }
}

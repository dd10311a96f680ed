import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { seededRandom } from '@onepass/contracts';
import { KV_POOL_FILE } from '@onepass/kv';
import type { Tally } from './boards.js';
import { watchKvMemory } from './file-memory.js';
import { type Programs, ReaderProcess, WriterProcess } from './processes.js';
import { POOL } from './scored-pool.js';

export interface ChaosTerms {
  readonly seconds: number;
  readonly readers: number;
  readonly programs: Programs;
  progress(line: string): void;
}

export interface ChaosResult extends Tally {
  /** Of the writers, and reads by the readers. */
  readonly operations: number;
  readonly evictions: number;
  readonly refusals: number;
  readonly kills: number;
  /** Kills of the writer while tokens of an append were written and not published. */
  readonly killsInAppend: number;
  readonly stops: number;
  /** Processes that ended though nobody killed them. */
  readonly deaths: number;
  /** Most memory that the file took beside its headers, to what the pool was given. */
  readonly capShare: number;
}

const SHARED_MEMORY = '/dev/shm';
/** Most ms between two strokes, and of a stop: longer than slots rest. */
const MOST_PAUSE_MS = 150;
const MOST_STOP_MS = 120;
/** Of a draw in [0, 1), one for each kind of stroke. */
const EACH = [0, 0.5, 0.65, 0.9];
/** Of the time, at most, where nothing was proved in it. */
const MOST_TIMES = 5;
/** How long to look for the middle of an append, in ms. */
const PATIENCE_MS = 3_000;

/** Readers score what a writer publishes, while all of them are killed and stopped. */
export async function runChaos(terms: ChaosTerms): Promise<ChaosResult> {
  const folder = mkdtempSync(join(SHARED_MEMORY, 'onepass-drill-kv-'));
  const chaos = new Chaos(folder, terms);
  try {
    await chaos.begin();
    await chaos.strike();
    return await chaos.end();
  } finally {
    await chaos.killAll();
    rmSync(folder, { recursive: true });
  }
}

class Chaos {
  readonly #folder: string;
  readonly #terms: ChaosTerms;
  readonly #random = seededRandom(1);
  readonly #memory: ReturnType<typeof watchKvMemory>;
  readonly #readers: ReaderProcess[] = [];
  #writer: WriterProcess | undefined;
  #runs = 0;
  #readersStarted = 0;
  readonly #seen = { verified: 0, wrong: 0, misses: 0, torn: 0, operations: 0, evictions: 0, refusals: 0 };
  readonly #done = { kills: 0, killsInAppend: 0, stops: 0, deaths: 0 };

  constructor(folder: string, terms: ChaosTerms) {
    this.#folder = folder;
    this.#terms = terms;
    this.#memory = watchKvMemory(join(folder, KV_POOL_FILE), POOL.shape, POOL.slots);
  }

  async begin(): Promise<void> {
    await this.#startWriter();
    for (let i = 0; i < this.#terms.readers; i++) this.#readers.push(await this.#startReader());
  }

  /** One stroke after the other until the time is over; longer where that is too short to prove anything. */
  async strike(): Promise<void> {
    const began = Date.now();
    const isOver = () => {
      const seconds = (Date.now() - began) / 1_000;
      return seconds > this.#terms.seconds * (this.#provesSomething() ? 1 : MOST_TIMES);
    };
    for (let stroke = 0; !isOver(); stroke++) {
      await delay(this.#random() * MOST_PAUSE_MS);
      await this.#replaceDead();
      // Each of them once, however short the time is.
      const drawn = EACH[stroke] ?? this.#random();
      if (drawn < 0.3) await this.#killWriter(drawn < 0.25);
      else if (drawn < 0.6) await this.#stopWriter();
      else if (drawn < 0.7) await this.#killReader();
      else await this.#stopReader();
    }
  }

  #provesSomething(): boolean {
    const torn = this.#readers.reduce((sum, { tally }) => sum + tally.torn, this.#seen.torn);
    return torn > 0 && this.#done.killsInAppend > 0;
  }

  async end(): Promise<ChaosResult> {
    await this.#replaceDead();
    const most = this.#memory.most();
    await this.killAll();
    const capShare = most / POOL.bytes;
    const { verified, misses, operations } = this.#seen;
    const { kills, killsInAppend, stops } = this.#done;
    this.#terms.progress(
      `${this.#runs} writers did ${operations} operations, readers scored ${verified + misses} times; ${kills} kills, ${killsInAppend} of them in mid-append, ${stops} stops`,
    );
    return { ...this.#seen, ...this.#done, operations: operations + verified + misses, capShare };
  }

  async killAll(): Promise<void> {
    this.#memory.end();
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer !== undefined) await this.#bury(writer);
    for (const reader of this.#readers.splice(0)) await this.#buryReader(reader);
  }

  async #killWriter(inAppend: boolean): Promise<void> {
    const writer = this.#writer!;
    if (inAppend) await this.#untilAppending();
    await this.#replaceWriter();
    // What it says now it said last.
    if (writer.isAppending) this.#done.killsInAppend++;
    this.#done.kills++;
  }

  async #replaceWriter(): Promise<void> {
    await this.#bury(this.#writer!);
    await this.#startWriter();
    for (const reader of this.#readers) reader.tell(this.#runs);
  }

  async #stopWriter(): Promise<void> {
    if (this.#random() < 0.7) await this.#untilAppending();
    await this.#stop(this.#writer!);
  }

  async #killReader(): Promise<void> {
    const at = this.#drawReader();
    await this.#buryReader(this.#readers[at]!);
    this.#done.kills++;
    this.#readers[at] = await this.#startReader();
  }

  #stopReader(): Promise<void> {
    return this.#stop(this.#readers[this.#drawReader()]!);
  }

  async #stop(one: WriterProcess | ReaderProcess): Promise<void> {
    one.stop();
    await delay(this.#random() * MOST_STOP_MS);
    one.goOn();
    this.#done.stops++;
  }

  #drawReader(): number {
    return Math.floor(this.#random() * this.#readers.length);
  }

  async #startWriter(): Promise<void> {
    this.#writer = await WriterProcess.start(this.#folder, ++this.#runs, this.#terms.programs);
  }

  #startReader(): Promise<ReaderProcess> {
    return ReaderProcess.start(this.#folder, ++this.#readersStarted, this.#runs, this.#terms.programs);
  }

  /** Waits until the writer is in the middle of an append. */
  async #untilAppending(): Promise<void> {
    const writer = this.#writer!;
    const until = Date.now() + PATIENCE_MS;
    writer.linger();
    while (!writer.isAppending && Date.now() < until) await nextTurn();
  }

  async #bury(writer: WriterProcess): Promise<void> {
    await writer.kill();
    const { operations, evictions, refusals } = writer.told;
    this.#seen.operations += operations;
    this.#seen.evictions += evictions;
    this.#seen.refusals += refusals;
  }

  async #buryReader(reader: ReaderProcess): Promise<void> {
    await reader.kill();
    for (const [name, count] of Object.entries(reader.tally)) this.#seen[name as keyof Tally] += count;
  }

  async #replaceDead(): Promise<void> {
    const died = (one: WriterProcess | ReaderProcess, what: string) => {
      if (one.diedBy === undefined) return false;
      this.#terms.progress(`a ${what} died by ${one.diedBy}`);
      this.#done.deaths++;
      return true;
    };
    if (died(this.#writer!, 'writer')) await this.#replaceWriter();
    for (const [at, reader] of this.#readers.entries()) {
      if (!died(reader, 'reader')) continue;
      await this.#buryReader(reader);
      this.#readers[at] = await this.#startReader();
    }
  }
}

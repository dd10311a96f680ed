import { Heap } from '../heap.js';
import type { SimClock } from './clock.js';

export interface MachineTerms {
  readonly cores: number;
  /**
   * How fast a core is while all others are busy too, to one that is alone: they share units, memory and power, and the kernel does not always
   * spread threads evenly; but their caches are warm.
   */
  readonly busySpeed: number;
}

interface Job {
  /** What every job gets done from the machine's start until this one's end, in ms. */
  readonly until: number;
  readonly order: number;
  readonly done: () => void;
}

/** Cores that all who run share equally (processor sharing): a thread has at most one of them. */
export class Machine {
  readonly #clock: SimClock;
  readonly #terms: MachineTerms;
  readonly #jobs = new Heap<Job>((a, b) => a.until < b.until || (a.until === b.until && a.order < b.order));
  #order = 0;
  /** What a job that ran from the beginning would have got done. */
  #each = 0;
  #sinceMs = 0;
  #doneMs = 0;
  #busyMs = 0;
  /** Changes whenever the next end does. */
  #version = 0;

  constructor(clock: SimClock, terms: MachineTerms) {
    this.#clock = clock;
    this.#terms = terms;
  }

  get cores(): number {
    return this.#terms.cores;
  }

  get isFull(): boolean {
    return this.#jobs.size >= this.#terms.cores;
  }

  /** Work done so far, in ms of a core that is alone. */
  get doneMs(): number {
    this.#advance();
    return this.#doneMs;
  }

  /** Time that cores were in use so far, summed over them. */
  get busyMs(): number {
    this.#advance();
    return this.#busyMs;
  }

  /** Resolves when it is done. @param workMs of a core that is alone */
  run(workMs: number): Promise<void> {
    if (workMs <= 0) return Promise.resolve();
    this.#advance();
    return new Promise((done) => {
      this.#jobs.push({ until: this.#each + workMs, order: this.#order++, done });
      this.#plan();
    });
  }

  /** What each job gets done in a ms, and all cores in use. */
  #rate(): { each: number; busy: number } {
    const { cores, busySpeed } = this.#terms;
    const jobs = this.#jobs.size;
    if (jobs === 0) return { each: 0, busy: 0 };
    const busy = Math.min(jobs, cores);
    const speed = cores > 1 ? 1 - ((1 - busySpeed) * (busy - 1)) / (cores - 1) : 1;
    return { each: (speed * busy) / jobs, busy };
  }

  #advance(): void {
    const now = this.#clock.now();
    const passed = now - this.#sinceMs;
    const { each, busy } = this.#rate();
    this.#each += each * passed;
    this.#doneMs += each * passed * this.#jobs.size;
    this.#busyMs += busy * passed;
    this.#sinceMs = now;
  }

  #plan(): void {
    const version = ++this.#version;
    const next = this.#jobs.peek();
    if (next === undefined) return;
    const inMs = Math.max(0, next.until - this.#each) / this.#rate().each;
    this.#clock.at(this.#clock.now() + inMs, () => {
      if (version === this.#version) this.#end();
    });
  }

  /** Exactly what was planned for now: sums of fractions may fall short of it by a hair. */
  #end(): void {
    this.#advance();
    const first = this.#jobs.pop()!;
    this.#each = Math.max(this.#each, first.until);
    const ended = [first];
    while (this.#jobs.peek() !== undefined && this.#jobs.peek()!.until <= this.#each) ended.push(this.#jobs.pop()!);
    this.#plan();
    for (const { done } of ended) done();
  }
}

/** Threads of V8 in each process, which collect garbage and compile: Node's default. */
const V8_WORKERS = 4;

/** The one thread of a process that runs JavaScript: one turn after the other, in order of asking. */
export class EventLoop {
  readonly machine: Machine;
  #last: Promise<void> = Promise.resolve();
  #workMs = 0;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** Work of all turns asked for so far. */
  get workMs(): number {
    return this.#workMs;
  }

  /**
   * Resolves when the turn has told what it had to tell.
   * @param behindMs what is left to be done then, before the next turn begins
   * @param besideMs what V8's own threads do from its beginning on, all of them at once: nobody waits for it, but it takes cores
   */
  turn(workMs: number, behindMs = 0, besideMs = 0): Promise<void> {
    this.#workMs += workMs + behindMs;
    const told = this.#last.then(() => {
      for (let worker = 0; worker < V8_WORKERS; worker += 1) void this.machine.run(besideMs / V8_WORKERS);
      return this.machine.run(workMs);
    });
    this.#last = told.then(() => this.machine.run(behindMs));
    return told;
  }
}

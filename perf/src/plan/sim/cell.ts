import { Admission, boundOptions, STAGE_CALLS } from '@onepass/admission';
import { overloaded } from '@onepass/errors';
import { RunQueue } from '@onepass/inference';
import type { KvShape } from '@onepass/kv';
import { HeldPeople, type Lease } from '../held-people.js';
import type { SimClock } from './clock.js';
import type { ServiceDraw } from './draw.js';
import { EventLoop, type Machine } from './machine.js';
import type { EncodeKind, PageTimes } from './service-times.js';

export interface CellTerms {
  readonly slots: number;
  readonly shape: KvShape;
  /** Most tokens of a history in a slot. */
  readonly window: number;
  readonly restMs: number;
  /** Graph runs at one time, of the user-encoder and of ranking each. */
  readonly inFlight: number;
}

/** A person's history as the store has it: every action a token. */
export interface PersonHistory {
  sequence: number;
}

export interface EncodeOrder {
  readonly person: string;
  readonly history: PersonHistory;
  readonly deadlineMs: number;
  /** KV that must not be used, though it is held: it moved away, or is another release's. */
  readonly cold: boolean;
}

export interface CellEncoded {
  readonly kind: EncodeKind;
  /** Measured page that goes on with its ranking. */
  readonly times: PageTimes;
}

/** As libs/inference has it: a run that waits behind so many is late for any page. */
const MAX_QUEUED = 256;
/** How often who finds no slot looks again. */
const POLL_MS = 2;
/** Of the moving average that says how long a run is likely to take, as libs/inference has it. */
const USUAL_WEIGHT = 0.1;
/** A window that is full is encoded anew at this share of it, as the user-encoder does it. */
const SHORTENED = 3 / 4;

/** User-encoder and ranking of one cell on one machine: their event loops, run queues and slots. */
export class SimCell {
  readonly name: string;
  readonly held: HeldPeople;
  /** Pages of the gateways that are being made here. */
  underWay = 0;
  readonly #terms: CellTerms;
  readonly #clock: SimClock;
  readonly #draw: ServiceDraw;
  readonly encoder: StageProcess;
  readonly ranking: StageProcess;
  /** The last work of each person, who are encoded one after the other. */
  readonly #persons = new Map<string, Promise<unknown>>();

  constructor(name: string, terms: CellTerms, { clock, machine, draw }: CellParts) {
    this.name = name;
    this.#terms = terms;
    this.#clock = clock;
    this.#draw = draw;
    this.held = new HeldPeople({ ...terms, now: clock.now });
    this.encoder = new StageProcess(clock, machine, draw, terms.inFlight);
    this.ranking = new StageProcess(clock, machine, draw, terms.inFlight);
  }

  /** @throws OnepassError `overloaded` */
  encode(order: EncodeOrder): Promise<CellEncoded> {
    const before = this.#persons.get(order.person);
    const mine = this.encoder.bounded(async () => {
      await before?.catch(() => {});
      return this.#encode(order);
    });
    this.#persons.set(order.person, mine);
    const over = () => {
      if (this.#persons.get(order.person) === mine) this.#persons.delete(order.person);
    };
    mine.then(over, over);
    return mine;
  }

  /** @throws OnepassError `overloaded` */
  rank({ times }: CellEncoded, deadlineMs: number): Promise<void> {
    return this.ranking.bounded(async () => {
      await this.ranking.turn(times.ranking / 2, times.rankingBeside);
      await this.ranking.run(times.rankingGraph, deadlineMs);
      await this.ranking.turn(times.ranking / 2);
    });
  }

  /** What would be done for a person, who is held from then on: without time, to fill slots. */
  visit(person: string, history: PersonHistory): EncodeKind {
    const lease = this.held.lease(person);
    const { kind, length } = planOf(lease, history, this.#terms.window, false);
    if (this.#takes(lease, kind, length)) lease.publish({ length, sequence: history.sequence });
    lease.end();
    return kind;
  }

  /** Room for so many tokens, and behind them for the request's own rows. */
  #takes(lease: Lease, kind: EncodeKind, length: number): boolean {
    const { shape, window } = this.#terms;
    const tokens = length + shape.capacity - window;
    return kind === 'encode' ? lease.claim(tokens) : lease.grow(tokens);
  }

  async #encode({ person, history, deadlineMs, cold }: EncodeOrder): Promise<CellEncoded> {
    const lease = this.held.lease(person);
    try {
      const { kind, tokens, length } = planOf(lease, history, this.#terms.window, cold);
      const { sequence } = history;
      const times = this.#draw.page(kind, tokens);
      await this.encoder.turn(times.encoder / 2, times.encoderBeside);
      while (!this.#takes(lease, kind, length)) {
        if (this.#clock.now() >= deadlineMs) throw overloaded(this.#terms.restMs, 'every KV slot is in use');
        await this.#clock.delay(POLL_MS);
      }
      await this.encoder.run(times.encoderGraph, deadlineMs);
      lease.publish({ length, sequence });
      await this.encoder.turn(times.encoder / 2);
      return { kind, times };
    } finally {
      lease.end();
    }
  }
}

/** What the user-encoder does where it holds this much of such a history. */
function planOf(
  { content }: Lease,
  { sequence }: PersonHistory,
  window: number,
  cold: boolean,
): { kind: EncodeKind; tokens: number; length: number } {
  const behind = content === undefined || cold ? Number.POSITIVE_INFINITY : sequence - content.sequence;
  const length = (content?.length ?? 0) + behind;
  if (behind === 0) return { kind: 'keep', tokens: 0, length };
  if (length <= window) return { kind: 'append', tokens: behind, length };
  const all = sequence <= window ? sequence : Math.floor(window * SHORTENED);
  return { kind: 'encode', tokens: all, length: all };
}

interface CellParts {
  readonly clock: SimClock;
  readonly machine: Machine;
  readonly draw: ServiceDraw;
}

/** A process of a cell: its event loop, and its graph runs on threads of their own, by the engine's own queue and the stage's own bound. */
export class StageProcess {
  readonly loop: EventLoop;
  readonly #clock: SimClock;
  readonly #draw: ServiceDraw;
  readonly #runs: RunQueue;
  readonly #calls: Admission;
  #usualMs = 0;

  constructor(clock: SimClock, machine: Machine, draw: ServiceDraw, inFlight: number) {
    this.loop = new EventLoop(machine);
    this.#clock = clock;
    this.#draw = draw;
    this.#runs = new RunQueue({ lanes: inFlight, maxQueued: MAX_QUEUED, now: clock.now });
    this.#calls = new Admission(boundOptions(STAGE_CALLS), clock.now);
  }

  /** Work of one call, within the bound of all stages. @throws OnepassError `overloaded` */
  async bounded<T>(work: () => Promise<T>): Promise<T> {
    let finish = () => {};
    this.#calls.apply({
      priority: 'interactive',
      deadlineMs: Number.POSITIVE_INFINITY,
      begin: (ticket) => {
        finish = () => ticket.finish('whole');
      },
      drop: () => {},
    });
    try {
      return await work();
    } finally {
      finish();
    }
  }

  turn(workMs: number, besideMs = 0): Promise<void> {
    return turn(this.loop, workMs, this.#draw, besideMs);
  }

  /** A graph run, and the ways to its thread and back. @throws OnepassError `overloaded` when it would be late */
  run(workMs: number, deadlineMs: number): Promise<void> {
    const work = async () => {
      const began = this.#clock.now();
      await hop(this.#clock, this.loop.machine, this.#draw);
      await this.loop.machine.run(workMs);
      await hop(this.#clock, this.loop.machine, this.#draw);
      this.#usualMs += (this.#clock.now() - began - this.#usualMs) * USUAL_WEIGHT;
    };
    return this.#runs.schedule(work, { deadlineMs, expectedMs: this.#usualMs });
  }
}

/** CPU of an event loop, some of it behind what it has to tell, and of V8's threads beside it. */
export function turn(loop: EventLoop, workMs: number, { pace }: ServiceDraw, besideMs = 0): Promise<void> {
  return loop.turn(workMs * (1 - pace.behind), workMs * pace.behind, besideMs);
}

/** Wakes a thread on `machine`: where a core sleeps that takes a moment, and where none does the thread waits its turn anyway. */
export async function hop(clock: SimClock, machine: Machine, { pace }: ServiceDraw): Promise<void> {
  if (!machine.isFull) await clock.delay(pace.hopMs + pace.wakeMs);
}

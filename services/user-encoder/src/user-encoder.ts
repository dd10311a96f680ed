import { setTimeout } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { RequestContextSchema } from '@onepass/contracts';
import { OnepassError, unavailable } from '@onepass/errors';
import type { HistoryHead, HistoryStore } from '@onepass/history';
import type { KvTensors, SlotState } from '@onepass/kv';
import type { PersonKey } from '@onepass/routing';
import { type Logger, type Measurements, NO_SPAN, rarely } from '@onepass/telemetry';
import type { Lease, WarmTier } from '@onepass/warm-tier';
import type { EncodeAsk } from './encode-ask.js';
import { type Encoded, EncodePass, type EncodePassParts, type Prepared } from './encode-pass.js';
import { type Held, type HistoryPlan, planHistory } from './history-plan.js';
import { PersonQueue } from './person-queue.js';
import { PersonStates, SeenItems } from './person-state.js';
import type { QueryTower } from './query-tower.js';
import { Renewals } from './renewals.js';
import type { RetrievalHead } from './retrieval-head.js';
import type { ServedModel } from './served-model.js';
import { type EncodeCall, SlotHold } from './slot-hold.js';
import { StageClock } from './stage-clock.js';
import type { Trunk } from './trunk.js';
import { WarmKv } from './warm-kv.js';
import type { Work } from './work.js';

export interface UserEncoderParts {
  readonly model: ServedModel;
  /** With the KV that it writes. */
  readonly trunk: Trunk;
  readonly head: RetrievalHead;
  /** Undefined where the model has no tokenizer of queries. */
  readonly queryTower: QueryTower | undefined;
  /** How long retired slots rest. */
  readonly restMs: number;
  readonly history: HistoryStore;
  readonly logger: Logger;
  readonly measurements: Measurements;
  /** Whether KV that is held may be used; where it may not, everybody is encoded anew. */
  readonly mayReuseKv: () => boolean;
  /** Below the slots; undefined = there is none. */
  readonly warm?: WarmBelow | undefined;
  /** Whether what the warm tier holds may be used; absent = always. */
  readonly mayUseWarmTier?: () => boolean;
  /** Persons remembered beside their slots. */
  readonly rememberedPersons: number;
}

/** The warm tier below slots whose tensors lie in host memory. */
export interface WarmBelow {
  /** Its leases are `UserEncoder.leaseOf`. */
  readonly tier: WarmTier;
  readonly tensors: (slot: SlotState) => KvTensors;
}

/** How long a write that the caller was told of may take to be seen here. */
const CATCH_UP_MS = 50;
const CATCH_UP_POLL_MS = 1;

/** A renewal's: no query, so that nothing of a request is looked at. */
const NOTHING_ASKED = {
  context: create(RequestContextSchema, {}),
  surface: 0,
  nowMs: 0,
  embeddings: undefined,
  queryText: undefined,
  contextRows: 0,
  queries: [],
  minimumSequence: 0,
} as const;

/**
 * Brings persons' KV up to their histories and answers query embeddings from the same pass. One person's work is done in order of
 * asking, so that two requests at once do the history's work once; persons do not wait for each other.
 */
export class UserEncoder {
  readonly #parts: UserEncoderParts;
  readonly #queue = new PersonQueue();
  readonly #states: PersonStates;
  readonly #inWork = new Set<Promise<unknown>>();
  readonly #warm: WarmKv | undefined;
  readonly #renewals: Renewals;
  readonly #pass: EncodePass;

  constructor(parts: UserEncoderParts) {
    this.#parts = { ...parts, logger: rarely(parts.logger) };
    const states = new PersonStates(parts.rememberedPersons);
    this.#states = states;
    const { warm, trunk, model, mayUseWarmTier: mayUse = () => true } = parts;
    this.#warm = warm && new WarmKv({ ...parts, ...model, ...warm, kv: trunk.kv, states, mayUse });
    const settled: EncodePassParts['settled'] = (person, next, change, slot) => {
      states.set(person, next);
      if (change === 'append' || change === 'encode') warm?.tier.offer(person);
      if (slot?.isLossy) this.#renewals.add(person);
    };
    this.#pass = new EncodePass({ ...parts, settled });
    this.#renewals = new Renewals(
      () => trunk.isIdle,
      (person) => this.#track(this.#renew(person)),
    );
    parts.measurements.observe('onepass.persons.remembered', () => this.#states.size);
    parts.measurements.observe('onepass.persons.in_work', () => this.#queue.size);
  }

  /**
   * @throws OnepassError `unavailable` when the history stays behind the sequence asked for; `overloaded` when no slot comes free, or
   * the graph runs that wait leave no time; the signal's reason; whatever a graph run throws. What was held of the person before stays whole.
   */
  encode(ask: EncodeAsk, call: EncodeCall): Promise<Encoded> {
    return this.#track(this.#encode({ ask, call, stages: new StageClock() }));
  }

  /**
   * Leaves nothing of the person: neither KV nor what is remembered beside it. In its turn behind the encodes that were asked for before;
   * those asked for later read the history anew, so it must have forgotten the person already.
   * @throws OnepassError the signal's reason when the call was given up before its turn; `unavailable` when the warm tier may still hold something
   */
  forget(person: PersonKey, { signal }: Pick<EncodeCall, 'signal'>): Promise<void> {
    const forgotten = this.#queue.run(person, signal, async () => {
      // The tier first: it may be reading the slot.
      try {
        await this.#parts.warm?.tier.forget(person);
      } finally {
        await this.#parts.trunk.kv.forget(person);
        this.#states.delete(person);
        this.#renewals.delete(person);
      }
    });
    return this.#track(forgotten);
  }

  /** The slot of a person as the warm tier is to write it. */
  leaseOf(person: PersonKey): Lease | undefined {
    return this.#warm?.leaseOf(person);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#inWork.add(work);
    const done = () => this.#inWork.delete(work);
    work.then(done, done);
    return work;
  }

  /** Resolves when no request is in work: before that, engine and pool must stay. */
  async idle(): Promise<void> {
    this.#renewals.close();
    while (this.#inWork.size > 0) await Promise.allSettled(this.#inWork);
  }

  async #encode(work: Work): Promise<Encoded> {
    const { ask, call } = work;
    const { person } = ask;
    if (person === undefined) return this.#pass.run(work, { plan: emptyPlan(undefined) }, undefined);
    const asked = performance.now();
    const waiting = call.span.child('person_queue');
    const encoded = this.#queue.run(person, call.signal, async () => {
      this.#parts.measurements.record('onepass.person_queue.duration', work.stages.addSince('queue', asked));
      waiting.end();
      const hold = new SlotHold(this.#parts.trunk.kv, person, work.call.priority === 'batch' ? 'scan' : 'person');
      try {
        const prepared = await this.#prepare(person, hold, work);
        await this.#takeSlot(prepared.plan, hold, work);
        return await this.#pass.run(work, prepared, hold.slot);
      } finally {
        hold.end();
      }
    });
    // Given up before its turn; after it, the span has ended already.
    encoded.catch((thrown) => waiting.end(OnepassError.from(thrown).kind));
    return encoded;
  }

  /** Encodes a person anew whose KV is not exact, so that what they do next can be appended. Whoever fails here is encoded when they come. */
  async #renew(person: PersonKey): Promise<void> {
    const { signal } = new AbortController();
    const call: EncodeCall = {
      signal,
      deadlineMs: Infinity,
      priority: 'batch',
      span: NO_SPAN,
      remainingMs: () => Infinity,
    };
    const work: Work = { ask: { ...NOTHING_ASKED, person }, call, stages: new StageClock() };
    await this.#queue
      .run(person, signal, async () => {
        const hold = new SlotHold(this.#parts.trunk.kv, person, 'scan');
        try {
          if (!hold.slot?.isLossy) return;
          const { history, model } = this.#parts;
          const plan = await planHistory(history, person, { head: await history.head(person), held: undefined }, model);
          await this.#takeSlot(plan, hold, work);
          await this.#pass.run(work, { plan }, hold.slot);
        } finally {
          hold.end();
        }
      })
      .catch((thrown) =>
        this.#parts.logger.warn({ err: OnepassError.from(thrown) }, 'KV that is not exact could not be renewed'),
      );
  }

  /** Reads what is new, and brings back what the warm tier holds. When the history cannot be read, what is held has to do. */
  async #prepare(person: PersonKey, hold: SlotHold, work: Work): Promise<Prepared> {
    const { ask, call, stages } = work;
    const { history, model, logger, measurements } = this.#parts;
    const isBroughtBack = (await this.#warm?.bringBack(person, hold, work)) ?? false;
    const { slot } = hold;
    const started = performance.now();
    const span = call.span.child('read_history');
    const held = this.#held(person, slot);
    let plan: HistoryPlan;
    let failure: string | undefined;
    try {
      const head = await this.#head(person, ask.minimumSequence, call);
      plan = await planHistory(history, person, { head, held }, model);
      if (plan.kind === 'append' && slot?.isLossy)
        plan = await planHistory(history, person, { head, held: undefined }, model);
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      failure = error.kind;
      if (error.kind !== 'unavailable') throw error;
      const fields = { err: error.cause ?? error, ...call.span.logFields };
      logger.warn(fields, 'the history cannot be read, serving what is held');
      measurements.count('onepass.history.unreadable');
      const usable = held?.length !== undefined ? ({ kind: 'keep', next: held.state } as const) : emptyPlan(held);
      return { plan: usable, degraded: error.message };
    } finally {
      measurements.record('onepass.history.read.duration', stages.addSince('history', started));
      span.end(failure);
    }
    const { sequence } = plan.next.head;
    if (sequence < ask.minimumSequence) {
      throw unavailable(`the history ends at sequence ${sequence}, asked for was ${ask.minimumSequence}`);
    }
    return { plan, isBroughtBack: isBroughtBack && (plan.kind === 'keep' || plan.kind === 'append') };
  }

  /** The history's end; a write that the caller was told of is waited for. */
  async #head(person: PersonKey, minimumSequence: number, call: EncodeCall): Promise<HistoryHead> {
    const patience = performance.now() + Math.min(CATCH_UP_MS, call.remainingMs());
    for (;;) {
      const head = await this.#parts.history.head(person);
      if (head.sequence >= minimumSequence || performance.now() >= patience) return head;
      await setTimeout(CATCH_UP_POLL_MS);
      call.signal.throwIfAborted();
    }
  }

  #held(person: PersonKey, slot: SlotState | undefined): Held | undefined {
    if (!this.#parts.mayReuseKv()) return undefined;
    const state = this.#states.get(person);
    if (state === undefined) return undefined;
    const current = slot?.sequence === state.head.sequence && slot.hash === state.head.hash;
    return { state, length: current ? slot.length : undefined };
  }

  /** Room for the plan's tokens and the context rows that are written behind them. */
  async #takeSlot(plan: HistoryPlan, hold: SlotHold, { call, stages }: Work): Promise<void> {
    if (plan.kind === 'empty') return;
    const { trunk, restMs, model, measurements } = this.#parts;
    const added = ('tokens' in plan ? plan.tokens.length : 0) + model.contextRows;
    if (plan.kind !== 'encode' && trunk.kv.grow(hold.slot!, hold.slot!.length + added) === undefined) return;
    const started = performance.now();
    const span = call.span.child('allocate_slot');
    const taken: Promise<unknown> =
      plan.kind === 'encode' ? hold.allocate(added, call, restMs) : hold.grow(hold.slot!.length + added, call, restMs);
    const failure = await taken.then(
      () => undefined,
      (thrown) => OnepassError.from(thrown).kind,
    );
    measurements.record('onepass.kv.slot.wait.duration', stages.addSince('queue', started));
    span.end(failure);
    await taken;
  }
}

/** Made from no history, whatever is held of items seen. */
function emptyPlan(held: Held | undefined): HistoryPlan {
  const head = { sequence: 0, hash: 0n };
  return { kind: 'empty', next: { head, lastMs: undefined, seen: held?.state.seen ?? new SeenItems([]) } };
}

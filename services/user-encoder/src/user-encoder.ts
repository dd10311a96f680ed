import { setTimeout } from 'node:timers/promises';
import { KvSource } from '@onepass/contracts';
import { OnepassError, unavailable } from '@onepass/errors';
import type { HistoryHead, HistoryStore } from '@onepass/history';
import type { RunTiming } from '@onepass/inference';
import type { KvPoolWriter, KvReference, SlotState } from '@onepass/kv';
import type { PersonKey } from '@onepass/routing';
import { type Logger, type Measurements, rarely, tellGraphRun } from '@onepass/telemetry';
import type { EncodeAsk } from './encode-ask.js';
import { type Held, type HistoryPlan, planHistory } from './history-plan.js';
import { PersonQueue } from './person-queue.js';
import { PersonStates, SeenItems } from './person-state.js';
import type { QueryTower, TextEmbeddings } from './query-tower.js';
import type { ServedModel } from './served-model.js';
import { type EncodeCall, SlotHold } from './slot-hold.js';
import { StageClock } from './stage-clock.js';
import type { PassPast, Trunk } from './trunk.js';

export interface UserEncoderParts {
  readonly model: ServedModel;
  readonly trunk: Trunk;
  /** Undefined where the model has no tokenizer of queries. */
  readonly queryTower: QueryTower | undefined;
  readonly pool: KvPoolWriter;
  /** How long the pool's retired slots rest. */
  readonly restMs: number;
  readonly history: HistoryStore;
  readonly logger: Logger;
  readonly measurements: Measurements;
  /** Whether KV that is held may be used; where it may not, everybody is encoded anew. */
  readonly mayReuseKv: () => boolean;
  /** Persons remembered beside their slots. */
  readonly rememberedPersons: number;
}

export interface Encoded {
  readonly reference: KvReference;
  readonly source: KvSource;
  /** [q, E]. */
  readonly queries: Float32Array;
  /** [c, E] of the context rows, a search's text among them; undefined = one row without an embedding. */
  readonly contextEmbeddings: Float32Array | undefined;
  /** Items acted on, as the contract's `seen_rows`. */
  readonly seenRows: Uint8Array;
  /** Effective time of the last token. */
  readonly lastMs: number | undefined;
  readonly encodedTokens: number;
  /** Why the history could not be read, when it could not. */
  readonly degraded: string | undefined;
  readonly stages: StageClock;
}

/** How long a write that the caller was told of may take to be seen here. */
const CATCH_UP_MS = 50;
const CATCH_UP_POLL_MS = 1;

const NO_TEXTS: TextEmbeddings = new Map();

const KINDS = {
  empty: { source: KvSource.EMPTY, name: 'empty' },
  keep: { source: KvSource.SLOT, name: 'slot' },
  append: { source: KvSource.APPEND, name: 'append' },
  encode: { source: KvSource.RECOMPUTE, name: 'recompute' },
} as const satisfies Readonly<Record<HistoryPlan['kind'], unknown>>;

/** One request on its way. */
interface Work {
  readonly ask: EncodeAsk;
  readonly call: EncodeCall;
  readonly stages: StageClock;
}

/** What is to be encoded, and why it is not what the history says where that could not be read. */
interface Prepared {
  readonly plan: HistoryPlan;
  readonly degraded?: string | undefined;
}

/**
 * Brings persons' KV up to their histories and answers query embeddings from the same pass. One person's work is done in order of
 * asking, so that two requests at once do the history's work once; persons do not wait for each other.
 */
export class UserEncoder {
  readonly #parts: UserEncoderParts;
  readonly #queue = new PersonQueue();
  readonly #states: PersonStates;
  readonly #inWork = new Set<Promise<unknown>>();

  constructor(parts: UserEncoderParts) {
    this.#parts = { ...parts, logger: rarely(parts.logger) };
    this.#states = new PersonStates(parts.rememberedPersons);
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
   * @throws OnepassError the signal's reason when the call was given up before its turn
   */
  forget(person: PersonKey, { signal }: Pick<EncodeCall, 'signal'>): Promise<void> {
    const forgotten = this.#queue.run(person, signal, async () => {
      this.#parts.pool.forget(person);
      this.#states.delete(person);
    });
    return this.#track(forgotten);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#inWork.add(work);
    const done = () => this.#inWork.delete(work);
    work.then(done, done);
    return work;
  }

  /** Resolves when no request is in work: before that, engine and pool must stay. */
  async idle(): Promise<void> {
    while (this.#inWork.size > 0) await Promise.allSettled(this.#inWork);
  }

  async #encode(work: Work): Promise<Encoded> {
    const { ask, call } = work;
    const { person } = ask;
    if (person === undefined) return this.#pass(work, { plan: emptyPlan(undefined) }, undefined);
    const asked = performance.now();
    const waiting = call.span.child('person_queue');
    const encoded = this.#queue.run(person, call.signal, async () => {
      this.#parts.measurements.record('onepass.person_queue.duration', work.stages.addSince('queue', asked));
      waiting.end();
      const hold = new SlotHold(this.#parts.pool, person, work.call.priority === 'batch' ? 'scan' : 'person');
      try {
        const prepared = await this.#prepare(person, hold.slot, work);
        await this.#takeSlot(prepared.plan, hold, work);
        return await this.#pass(work, prepared, hold.slot);
      } finally {
        hold.end();
      }
    });
    // Given up before its turn; after it, the span has ended already.
    encoded.catch((thrown) => waiting.end(OnepassError.from(thrown).kind));
    return encoded;
  }

  /** Reads what is new. When the history cannot be read, what is held has to do. */
  async #prepare(person: PersonKey, slot: SlotState | undefined, { ask, call, stages }: Work): Promise<Prepared> {
    const { history, model, logger, measurements } = this.#parts;
    const started = performance.now();
    const span = call.span.child('read_history');
    const held = this.#held(person, slot);
    let plan: HistoryPlan;
    let failure: string | undefined;
    try {
      const head = await this.#head(person, ask.minimumSequence, call);
      plan = await planHistory(history, person, { head, held }, model);
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
    return { plan };
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
    const { pool, restMs, model, measurements } = this.#parts;
    const added = ('tokens' in plan ? plan.tokens.length : 0) + model.contextRows;
    if (plan.kind !== 'encode' && pool.grow(hold.slot!, hold.slot!.length + added) === undefined) return;
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

  /** The query tower's view of all texts, of the new tokens and of the request. */
  async #embedTexts(plan: HistoryPlan, { ask, call, stages }: Work): Promise<TextEmbeddings> {
    const { queryTower, measurements } = this.#parts;
    const texts = new Set('tokens' in plan ? plan.tokens.flatMap(({ queryText }) => queryText ?? []) : []);
    if (ask.queryText !== undefined) texts.add(ask.queryText);
    if (texts.size === 0) return NO_TEXTS;
    const { embeddings, timing } = await queryTower!.embed([...texts], call);
    addTiming(stages, 'query', timing);
    tellGraphRun('query_tower', timing, { measurements, span: call.span });
    return embeddings;
  }

  /** Both graphs, and in between what is left behind: published only once the first has run. */
  async #pass(work: Work, { plan, degraded }: Prepared, slot: SlotState | undefined): Promise<Encoded> {
    const { trunk, measurements } = this.#parts;
    const { call, stages } = work;
    const texts = await this.#embedTexts(plan, work);
    const ask = { ...work.ask, embeddings: work.ask.embeddings ?? texts.get(work.ask.queryText ?? '') };
    const past = this.#past(plan, slot, texts);
    const buffers = trunk.takeBuffers(past, ask);
    try {
      if (past.tokens.length > 0 || ask.queries.length > 0) {
        const timing = await trunk.encode(past, ask, buffers, call);
        addTiming(stages, 'encode', timing);
        tellGraphRun('encode', timing, { measurements, span: call.span });
        measurements.count('onepass.encode.tokens', past.tokens.length);
      }
      const reference = this.#settle(ask.person, { plan, degraded }, slot);
      measurements.count('onepass.kv.requests', { 'onepass.kv.source': KINDS[plan.kind].name });
      if (ask.queries.length > 0) {
        const timing = await trunk.retrieve(ask, buffers, call);
        addTiming(stages, 'head', timing);
        tellGraphRun('retrieve_head', timing, { measurements, span: call.span });
      }
      return {
        reference,
        source: KINDS[plan.kind].source,
        queries: buffers.queries.slice(),
        contextEmbeddings: ask.embeddings,
        seenRows: plan.next.seen.rows(this.#parts.model.world.itemRow),
        lastMs: plan.next.lastMs,
        encodedTokens: past.tokens.length,
        degraded,
        stages,
      };
    } finally {
      buffers.release();
    }
  }

  #past(plan: HistoryPlan, slot: SlotState | undefined, texts: TextEmbeddings): PassPast {
    const fresh = plan.kind === 'append' || plan.kind === 'encode' ? plan : undefined;
    const kept = plan.kind === 'empty' ? undefined : slot;
    return {
      tensors: kept && this.#parts.pool.tensors(kept),
      length: kept?.length ?? 0,
      tokens: fresh?.tokens ?? [],
      texts,
      previousMs: fresh?.previousMs,
      lastMs: plan.next.lastMs,
    };
  }

  /** Leaves slot and state as the plan says, together. */
  #settle(person: PersonKey | undefined, { plan, degraded }: Prepared, slot: SlotState | undefined): KvReference {
    const { pool, model } = this.#parts;
    const { head } = plan.next;
    if (person !== undefined && degraded === undefined) {
      if (plan.kind === 'empty') pool.retire(person);
      else {
        const tokens = 'tokens' in plan ? plan.tokens.length : 0;
        pool.publish(slot!, { length: slot!.length + tokens, ...head });
      }
      this.#states.set(person, plan.next);
    }
    return plan.kind === 'empty' ? emptyReference(model.releaseId, head) : pool.reference(slot!);
  }
}

/** Made from no history, whatever is held of items seen. */
function emptyPlan(held: Held | undefined): HistoryPlan {
  const head = { sequence: 0, hash: 0n };
  return { kind: 'empty', next: { head, lastMs: undefined, seen: held?.state.seen ?? new SeenItems([]) } };
}

function emptyReference(releaseId: string, { sequence, hash }: HistoryHead): KvReference {
  return {
    releaseId,
    poolId: '',
    slot: 0,
    generation: 0n,
    length: 0,
    personKey: new Uint8Array(0),
    historySequence: BigInt(sequence),
    historyHash: hash,
  };
}

function addTiming(
  stages: StageClock,
  stage: 'query' | 'encode' | 'head',
  { queueMicros, runMicros }: RunTiming,
): void {
  stages.addMicros('queue', queueMicros);
  stages.addMicros(stage, runMicros);
}

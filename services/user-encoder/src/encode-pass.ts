import { KvSource } from '@onepass/contracts';
import type { HistoryHead } from '@onepass/history';
import type { RunTiming } from '@onepass/inference';
import type { KvReference, SlotState } from '@onepass/kv';
import type { PersonKey } from '@onepass/routing';
import { type Measurements, tellGraphRun } from '@onepass/telemetry';
import type { HistoryPlan } from './history-plan.js';
import type { PersonState } from './person-state.js';
import type { QueryTower, TextEmbeddings } from './query-tower.js';
import type { RetrievalHead } from './retrieval-head.js';
import type { ServedModel } from './served-model.js';
import type { StageClock } from './stage-clock.js';
import { type PassPast, passRows, type Trunk } from './trunk.js';
import type { Work } from './work.js';

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

/** What is to be encoded, and why it is not what the history says where that could not be read. */
export interface Prepared {
  readonly plan: HistoryPlan;
  readonly degraded?: string | undefined;
  /** What is held came from the warm tier just now. */
  readonly isBroughtBack?: boolean;
}

const NO_TEXTS: TextEmbeddings = new Map();
const NO_QUERIES = new Float32Array(0);

const KINDS = {
  empty: { source: KvSource.EMPTY, name: 'empty' },
  keep: { source: KvSource.SLOT, name: 'slot' },
  append: { source: KvSource.APPEND, name: 'append' },
  encode: { source: KvSource.RECOMPUTE, name: 'recompute' },
} as const satisfies Readonly<Record<HistoryPlan['kind'], unknown>>;
const BROUGHT_BACK = { source: KvSource.TIER, name: 'tier' } as const;

export interface EncodePassParts {
  readonly model: ServedModel;
  readonly trunk: Trunk;
  readonly head: RetrievalHead;
  /** Undefined where the model has no tokenizer of queries. */
  readonly queryTower: QueryTower | undefined;
  readonly measurements: Measurements;
  /** Told of a person whose slot holds their history now. */
  readonly settled: (
    person: PersonKey,
    next: PersonState,
    change: HistoryPlan['kind'],
    slot: SlotState | undefined,
  ) => void;
}

/** Runs the graphs for one request, and leaves slot and state as its plan says. */
export class EncodePass {
  readonly #parts: EncodePassParts;

  constructor(parts: EncodePassParts) {
    this.#parts = parts;
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

  /**
   * Both graphs, and in between what is left behind: published only once the first has run.
   * @throws OnepassError whatever a graph run throws; what was held before stays whole then
   */
  async run(work: Work, prepared: Prepared, slot: SlotState | undefined): Promise<Encoded> {
    const { plan, degraded } = prepared;
    const { call, stages } = work;
    const texts = await this.#embedTexts(plan, work);
    const ask = { ...work.ask, embeddings: work.ask.embeddings ?? texts.get(work.ask.queryText ?? '') };
    const past = passPast(plan, slot, texts);
    const hidden = await this.#encode(past, { ...work, ask });
    const reference = this.#settle(ask.person, prepared, slot);
    const { source, name } = prepared.isBroughtBack ? BROUGHT_BACK : KINDS[plan.kind];
    this.#parts.measurements.count('onepass.kv.requests', { 'onepass.kv.source': name });
    return {
      reference,
      source,
      queries: hidden && ask.queries.length > 0 ? await this.#retrieve(hidden, { call, stages, ask }) : NO_QUERIES,
      contextEmbeddings: ask.embeddings,
      seenRows: plan.next.seen.rows(this.#parts.model.world.itemRow),
      lastMs: plan.next.lastMs,
      encodedTokens: past.tokens.length,
      degraded,
      stages,
    };
  }

  /** @returns the last row's hidden state; undefined when there is no row */
  async #encode(past: PassPast, { ask, call, stages }: Work): Promise<Float32Array | undefined> {
    if (passRows(past, ask) === 0) return undefined;
    const { trunk, measurements } = this.#parts;
    const { hidden, timing } = await trunk.encode(past, ask, call);
    addTiming(stages, 'encode', timing);
    tellGraphRun('encode', timing, { measurements, span: call.span });
    measurements.count('onepass.encode.tokens', past.tokens.length);
    return hidden;
  }

  async #retrieve(hidden: Float32Array, { ask, call, stages }: Work): Promise<Float32Array> {
    const { head, measurements } = this.#parts;
    const { queries, timing } = await head.retrieve(ask, hidden, call);
    addTiming(stages, 'head', timing);
    tellGraphRun('retrieve_head', timing, { measurements, span: call.span });
    return queries;
  }

  /** Leaves slot and state as the plan says, together; new tokens the trunk has published. */
  #settle(person: PersonKey | undefined, { plan, degraded }: Prepared, slot: SlotState | undefined): KvReference {
    const { trunk, model } = this.#parts;
    const { kv } = trunk;
    const { head } = plan.next;
    if (person !== undefined && degraded === undefined) {
      if (plan.kind === 'empty') kv.retire(person);
      if (plan.kind === 'keep') kv.publish(slot!, { length: slot!.length, ...head, isLossy: slot!.isLossy });
      this.#parts.settled(person, plan.next, plan.kind, slot);
    }
    return plan.kind === 'empty' ? emptyReference(model.releaseId, head) : kv.reference(slot!);
  }
}

function passPast(plan: HistoryPlan, slot: SlotState | undefined, texts: TextEmbeddings): PassPast {
  const fresh = plan.kind === 'append' || plan.kind === 'encode' ? plan : undefined;
  const { head, lastMs } = plan.next;
  return {
    slot: plan.kind === 'empty' ? undefined : slot,
    tokens: fresh?.tokens ?? [],
    texts,
    previousMs: fresh?.previousMs,
    lastMs,
    head,
  };
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

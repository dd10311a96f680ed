import { setTimeout } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Admission, admitted, type Outcome, type RetryBudget } from '@onepass/admission';
import {
  columnLength,
  Degraded_Reason,
  Mode,
  type RecommendRequest,
  type RecommendResponseSchema,
  type ServerCall,
  type Switches,
  View,
} from '@onepass/contracts';
import { invalidArgument, OnepassError, unavailable } from '@onepass/errors';
import type { HistoryHead, HistoryStore } from '@onepass/history';
import { type Logger, type Measurements, rarely } from '@onepass/telemetry';
import type { Cell } from '../cells/cell.js';
import type { Cells } from '../cells/cells.js';
import type { RememberedSlates } from '../remembered-slates.js';
import type { ServedRelease } from '../served-release.js';
import { servedSlate } from '../slates/served-slate.js';
import type { SlateWriter } from '../slates/slate-writer.js';
import type { CandidateSet } from '../stages/candidate-set.js';
import { type Encoded, encode, encodeForRanking } from '../stages/encode-stage.js';
import { Exclusions, type SeenItems } from '../stages/exclusions.js';
import type { FilteredOut } from '../stages/filtered-out.js';
import {
  externalSources,
  type LookedUp,
  lookUp,
  ownEmbeddings,
  type ResolvedExternal,
} from '../stages/look-up-stage.js';
import { mergeExternals } from '../stages/merge-externals.js';
import { popularFallback, popularKeptOut } from '../stages/popular-fallback.js';
import { type Ranked, rank } from '../stages/rank-stage.js';
import { isElsewhereToo } from '../stages/reach.js';
import { type Queries, type RetrievalClient, type Retrieved, retrieve } from '../stages/retrieve-stage.js';
import { failureOf, Run } from '../stages/run.js';
import { timeBudget } from '../stages/time-budget.js';
import { checkRequest } from './check-request.js';
import { priorityAsked } from './check-terms.js';
import type { Plan } from './plan.js';
import { requestDigest } from './request-digest.js';
import { respond } from './respond.js';

export interface RecommenderParts {
  readonly release: ServedRelease;
  readonly cells: Cells;
  readonly retrieval: RetrievalClient;
  readonly history: HistoryStore;
  readonly remembered: RememberedSlates;
  /** Told of every served slate, as SlateWriter.offer is; absent: they are not recorded. */
  readonly recordSlate: SlateWriter['offer'] | undefined;
  readonly pageTokenKey: Uint8Array;
  readonly budgetMs: number;
  readonly admission: Admission;
  readonly retries: RetryBudget;
  readonly switches: Switches;
  readonly logger: Logger;
  readonly measurements: Measurements;
}

type Response = MessageInitShape<typeof RecommendResponseSchema>;

/** A page, and what making it says of the load. */
type Made<Page = Response> = readonly [Page, Outcome | undefined];

const POPULAR_ONLY = 'the switch popular_only is on';
const NO_ROWS = new Uint8Array(0);
const NOTHING_SEEN: SeenItems = { rows: NO_ROWS, itemIds: [] };
const NO_HISTORY: HistoryHead = { sequence: 0, hash: 0n };
/** How long a write that another gateway took may be on its way to this one. */
const CATCH_UP_MS = 50;
const CATCH_UP_POLL_MS = 5;
const NOTHING_LOOKED_UP: LookedUp = { resolved: [], filtered: [] };

/** Encode, retrieve, rank, page; with a way around each of the first three. */
export class Recommender {
  readonly #parts: RecommenderParts;

  constructor(parts: RecommenderParts) {
    this.#parts = { ...parts, logger: rarely(parts.logger) };
  }

  /** Refused for load before anything is checked; waiting counts against the request's time. */
  recommend(request: RecommendRequest, call: ServerCall): Promise<Response | Uint8Array> {
    const { admission, budgetMs } = this.#parts;
    const deadlineMs = Math.min(Date.now() + budgetMs, call.deadlineMs);
    const priority = call.caller.priority(priorityAsked(request.priority, call.priority));
    return admitted(admission, { priority, deadlineMs, caller: call }, () =>
      this.#recommend(request, call, deadlineMs),
    );
  }

  async #recommend(
    request: RecommendRequest,
    call: ServerCall,
    deadlineMs: number,
  ): Promise<Made<Response | Uint8Array>> {
    const { release, remembered, pageTokenKey } = this.#parts;
    const plan = checkRequest(request, { release, pageTokenKey, call });
    // Nobody can repeat an id that was made here.
    if (request.requestId === '') return this.#serve(plan, call, deadlineMs);
    let outcome: Outcome | undefined;
    const serve = async () => {
      const made = await this.#serve(plan, call, deadlineMs);
      outcome = made[1];
      return made[0];
    };
    const page = await remembered.once(`${plan.personKey ?? ''}/${plan.requestId}`, requestDigest(request), serve);
    return [page, outcome];
  }

  async #serve(plan: Plan, call: ServerCall, deadlineMs: number): Promise<Made> {
    const { release, cells, budgetMs, pageTokenKey } = this.#parts;
    const clockMs = Date.now();
    const budget = timeBudget(clockMs, budgetMs, deadlineMs);
    const nowMs = plan.asOfMs ?? clockMs;
    const { signal, span } = call;
    const run = new Run({ plan, releaseId: release.id, budget, nowMs, signal, span }, this.#parts);
    await this.#checkSequence(run);
    const made = await cells.use(plan.personKey ?? plan.requestId, async (order) => {
      const [found, apart] = await Promise.all([this.#find(run, order), this.#encodeApart(run, order)]);
      return { ...found, ...(await this.#rank(run, { encoded: found.encoded, apart }, order, found.candidates)) };
    });
    // What was acted on is left out without the encoder too; but the page is not made from it.
    const head = made.encoded ? headOf(made.encoded) : NO_HISTORY;
    const results = { release, pageTokenKey, ...made, head };
    const page = respond(run, results);
    const served = plan.mode !== Mode.SCORE_ONLY && plan.asOfMs === undefined;
    if (served) this.#parts.recordSlate?.(servedSlate(run, page, results), clockMs);
    return [page, run.outcome];
  }

  /** The candidates, and what they were found by. */
  async #find(run: Run, cells: readonly Cell[]) {
    const { release } = this.#parts;
    const { plan } = run;
    const [encoded, lookedUp] = await Promise.all([this.#encode(run, cells), this.#lookUp(run)]);
    const seen = encoded ? seenBy(encoded) : await this.#ownSeen(run);
    const exclusions = new Exclusions(plan, seen, (itemId) => release.rows.get(itemId));
    const retrieved = plan.mode === Mode.SCORE_ONLY ? undefined : await this.#retrieve(run, encoded, exclusions);
    const externals = withoutExcluded(lookedUp, exclusions);
    const candidates = mergeExternals(retrieved?.candidates, externals.resolved, release.model.itemDimension);
    const seenItems = seen.itemIds.length + columnLength(seen.rows);
    return { encoded, retrieved, candidates, filtered: externals.filtered, seenItems };
  }

  /** A page cannot have seen what the history does not hold. Where that cannot be read, the page will say what it has seen. */
  async #checkSequence({ plan, budget }: Run): Promise<void> {
    const { minimumHistorySequence: minimum, personKey } = plan;
    if (minimum === 0n || personKey === undefined) return;
    const patience = Math.min(Date.now() + CATCH_UP_MS, budget.latest('encode'));
    for (;;) {
      const head = await this.#parts.history.head(personKey).catch(unlessUnavailable);
      if (head === undefined || minimum <= BigInt(head.sequence)) return;
      if (Date.now() >= patience) {
        throw invalidArgument('minimum_history_sequence', `is ${minimum}, the person's history is at ${head.sequence}`);
      }
      await setTimeout(CATCH_UP_POLL_MS);
    }
  }

  async #encode(run: Run, cells: readonly Cell[]): Promise<Encoded | undefined> {
    if (this.#parts.switches.isOn('popular_only')) {
      run.degrade(Degraded_Reason.SWITCH, POPULAR_ONLY);
      return undefined;
    }
    const deadline = run.budget.latest('encode');
    const encoded = await run.stage('encode', () => encode(run, cells, deadline));
    if (!(encoded instanceof OnepassError)) {
      if (encoded.cell !== cells[0]) this.#parts.cells.moved('lost');
      for (const { reason, detail } of encoded.response.degraded) run.degrade(reason, detail);
      return encoded;
    }
    run.degrade(Degraded_Reason.ENCODER, failureOf('the user-encoder', encoded));
    return undefined;
  }

  /** For a ranking model of its own, while candidates are found; undefined: it reads the KV that they are found by, or nothing. */
  async #encodeApart(run: Run, cells: readonly Cell[]): Promise<Encoded | OnepassError | undefined> {
    const ranks = run.plan.mode !== Mode.RETRIEVE_ONLY && !this.#parts.switches.isOn('popular_only');
    if (cells[0]?.rankingEncoder === undefined || !ranks) return undefined;
    const encoded = await run.stage('encode', () => encodeForRanking(run, cells, run.budget.latest('retrieve')));
    if (encoded instanceof OnepassError) return encoded;
    for (const { reason, detail } of encoded.response.degraded) run.degrade(reason, detail);
    return encoded;
  }

  /** Without the encoder, what was acted on comes from the history itself. */
  async #ownSeen(run: Run): Promise<SeenItems> {
    const { personKey } = run.plan;
    if (personKey === undefined) return NOTHING_SEEN;
    try {
      return { rows: NO_ROWS, ...(await this.#parts.history.actedItemIds(personKey)) };
    } catch (error) {
      run.degrade(Degraded_Reason.HISTORY, failureOf('the history store', OnepassError.from(error)));
      return NOTHING_SEEN;
    }
  }

  async #retrieve(run: Run, encoded: Encoded | undefined, exclusions: Exclusions): Promise<Retrieved> {
    const { release, retrieval } = this.#parts;
    const query = { queries: queriesOf(run.plan, encoded), exclusions };
    const retrieved = await run.stage('retrieve', () => retrieve(run, retrieval, release, query));
    if (!(retrieved instanceof OnepassError)) return retrieved;
    const failure = failureOf('retrieval', retrieved);
    if (run.plan.filters.length > 0) throw unavailable(`${failure}, and the filters cannot be evaluated without it`);
    const popular = release.popular.get(run.plan.surface);
    const candidates = popular && popularFallback(popular, exclusions.reasonAgainst, run.plan.candidates);
    if (!popular || !candidates?.itemIds.length) throw unavailable(`${failure}, and no popular item is left to show`);
    run.degrade(Degraded_Reason.RETRIEVAL, failure);
    const keptOut =
      run.plan.view === View.EXPLAIN ? popularKeptOut(popular, exclusions.reasonAgainst, run.plan.candidates) : [];
    return { candidates, coverage: undefined, keptOut, mergedInto: [] };
  }

  /** External candidates, while the encoder is at work. */
  async #lookUp(run: Run): Promise<LookedUp> {
    const { release, retrieval } = this.#parts;
    const { externals, mode } = run.plan;
    if (externals.length === 0) return NOTHING_LOOKED_UP;
    const found = await run.stage('look_up', () => lookUp(run, retrieval, release));
    const scoreOnly = mode === Mode.SCORE_ONLY;
    if (found instanceof OnepassError) {
      const failure = failureOf('retrieval', found);
      if (scoreOnly) throw unavailable(`${failure}, and external candidates cannot be looked up without it`);
      run.degrade(Degraded_Reason.RETRIEVAL, `${failure}: external candidates were not looked up`);
      return ownEmbeddings(run.plan);
    }
    const unknown = found.filtered.filter(({ reason }) => reason === 'unknown_item').length;
    if (scoreOnly && unknown === externals.length) {
      throw invalidArgument('external_candidates', 'the release knows none of the items');
    }
    if (unknown > 0) run.warnings.push(`the release does not know ${unknown} of the external candidates`);
    return found;
  }

  /**
   * On a KV miss encodes and ranks once more there, and where the cell is lost at the next ones; answers which encode the ranking, or the page
   * without one, is of.
   */
  async #rank(
    run: Run,
    { encoded, apart }: { encoded: Encoded | undefined; apart: Encoded | OnepassError | undefined },
    cells: readonly Cell[],
    candidates: CandidateSet,
  ): Promise<{ ranked: Ranked | undefined; encoded: Encoded | undefined }> {
    const { mode } = run.plan;
    if (mode === Mode.RETRIEVE_ONLY || candidates.itemIds.length === 0) return { ranked: undefined, encoded };
    if (this.#parts.switches.isOn('popular_only')) {
      if (mode === Mode.SCORE_ONLY) throw unavailable(`${POPULAR_ONLY}, and score only has nothing to answer then`);
      return { ranked: undefined, encoded };
    }
    // The first cell is the one whose encoder was late, where that is why there is no KV.
    const anywhere = [...cells.slice(1), ...cells.slice(0, 1)];
    const rankWith = (from: Encoded | undefined) => run.stage('rank', () => rank(run, anywhere, from, candidates));
    if (apart instanceof OnepassError) return this.#unranked(run, failureOf("ranking's own encoder", apart), encoded);
    let source = apart ?? encoded;
    let ranked = await rankWith(source);
    const others = source && ranked instanceof OnepassError ? this.#whereAgain(run, ranked, source.cell, cells) : [];
    if (others.length > 0) {
      const again = await run.stage('encode', () => encodeForRanking(run, others, run.budget.again(Date.now())));
      if (!(again instanceof OnepassError)) {
        source = again;
        ranked = await rankWith(source);
      }
    }
    if (!(ranked instanceof OnepassError)) return { ranked, encoded: source };
    return this.#unranked(run, failureOf('ranking', ranked), source);
  }

  /** The cells at which to encode and rank once more after a rank that failed; none: it would fail again. */
  #whereAgain(run: Run, failure: OnepassError, failed: Cell, cells: readonly Cell[]): readonly Cell[] {
    if (failure.kind === 'kv_miss') return [failed];
    const others = cells.filter((cell) => cell !== failed);
    if (!isElsewhereToo(failure) || others.length === 0 || !run.mayRetry('rank')) return [];
    this.#parts.cells.moved('lost');
    return others;
  }

  #unranked(run: Run, failure: string, encoded: Encoded | undefined) {
    if (run.plan.mode === Mode.SCORE_ONLY) {
      throw unavailable(`${failure}, and score only has nothing to answer without it`);
    }
    run.degrade(Degraded_Reason.RANKING, failure);
    return { ranked: undefined, encoded };
  }
}

function unlessUnavailable(thrown: unknown): undefined {
  if (OnepassError.from(thrown).kind !== 'unavailable') throw thrown;
}

function seenBy({ response }: Encoded): SeenItems {
  return { rows: response.seenRows, itemIds: [] };
}

function headOf({ response }: Encoded): HistoryHead {
  const { historySequence = 0n, historyHash = 0n } = response.kv ?? {};
  return { sequence: Number(historySequence), hash: historyHash };
}

/** By the encoder's embeddings; without them by a search's own query; else undefined: the popular list. */
function queriesOf(plan: Plan, encoded: Encoded | undefined): Queries | undefined {
  if (encoded?.response.queries) return { embeddings: encoded.response.queries, budgets: plan.budgets };
  if (plan.queryEmbedding === undefined) return undefined;
  return { embeddings: plan.queryEmbedding, budgets: [{ outcome: 'any', share: 1, offsetMs: 0 }] };
}

function withoutExcluded({ resolved, filtered }: LookedUp, { reasonAgainst }: Exclusions): LookedUp {
  const kept: ResolvedExternal[] = [];
  const out: FilteredOut[] = [...filtered];
  for (const external of resolved) {
    const { itemId } = external.item;
    const reason = reasonAgainst(itemId);
    if (reason === undefined) kept.push(external);
    else out.push({ itemId, reason, sources: externalSources(external.item) });
  }
  return { resolved: kept, filtered: out };
}

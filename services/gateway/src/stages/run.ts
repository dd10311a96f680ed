import type { Outcome, RetryBudget } from '@onepass/admission';
import { type CallOptions, Degraded_Reason, KvSource } from '@onepass/contracts';
import { type ErrorKind, OnepassError } from '@onepass/errors';
import type { AttributesOf, Logger, Measurements, Span } from '@onepass/telemetry';
import type { Plan } from '../recommend/plan.js';
import type { TimeBudget } from './time-budget.js';

export type StageName = 'encode' | 'look_up' | 'retrieve' | 'rank' | 'page';

/** One Recommend under way: what every stage may know, and what the answer will say of it. */
export class Run {
  readonly plan: Plan;
  /** The release all stages must be of. */
  readonly releaseId: string;
  readonly budget: TimeBudget;
  /** The request's "now", epoch ms. */
  readonly nowMs: number;
  /** The request's own. */
  readonly span: Span;
  readonly retries: RetryBudget;
  readonly #signal: AbortSignal;
  readonly #logger: Logger;
  readonly #measurements: Measurements;
  readonly #stageSpans = new Map<StageName, Span>();
  readonly timings: { stage: StageName; micros: number }[] = [];
  readonly degraded: { reason: Degraded_Reason; detail: string }[] = [];
  readonly warnings: string[] = [];
  readonly #failures = new Set<ErrorKind>();

  constructor(
    request: { plan: Plan; releaseId: string; budget: TimeBudget; nowMs: number; signal: AbortSignal; span: Span },
    shared: { logger: Logger; measurements: Measurements; retries: RetryBudget },
  ) {
    this.plan = request.plan;
    this.releaseId = request.releaseId;
    this.budget = request.budget;
    this.nowMs = request.nowMs;
    this.span = request.span;
    this.#signal = request.signal;
    this.#logger = shared.logger;
    this.#measurements = shared.measurements;
    this.retries = shared.retries;
  }

  /** Whether its caller has gone. */
  get isGivenUp(): boolean {
    return this.#signal.aborted;
  }

  /** Options of a call made in a stage: cancelled with the caller's own call. */
  call(deadlineMs: number, stage: StageName): Required<CallOptions> {
    const span = this.#stageSpans.get(stage) ?? this.span;
    return { signal: this.#signal, deadlineMs, priority: this.plan.priority, span };
  }

  /**
   * Runs and times a stage. Its failure is answered as a value, since most have a way around them; only when the caller has
   * gone does it throw.
   */
  async stage<T>(stage: StageName, work: () => Promise<T>): Promise<T | OnepassError> {
    const started = performance.now();
    const span = this.span.child(stage);
    this.#stageSpans.set(stage, span);
    let failure: string | undefined;
    try {
      return await work();
    } catch (thrown) {
      const error = OnepassError.from(this.#signal.aborted ? this.#signal.reason : thrown);
      failure = error.kind;
      if (this.#signal.aborted) throw error;
      this.#report(stage, error);
      return error;
    } finally {
      this.#time(stage, started);
      span.end(failure);
    }
  }

  /** Times work that needs no other process. */
  timed<T>(stage: StageName, work: () => T): T {
    const started = performance.now();
    const span = this.span.child(stage);
    const result = work();
    this.#time(stage, started);
    span.end();
    return result;
  }

  degrade(reason: Degraded_Reason, detail: string): void {
    if (!this.degraded.some((d) => d.reason === reason)) this.degraded.push({ reason, detail });
  }

  /** Counts the page that was made. */
  told(kvSource: KvSource, items: number): void {
    const source = KV_SOURCES[kvSource] ?? 'none';
    this.#measurements.count('onepass.pages', { 'onepass.kv.source': source });
    const reasons = new Set(this.degraded.flatMap(({ reason }) => REASONS[reason] ?? []));
    for (const reason of reasons) {
      this.#measurements.count('onepass.pages.degraded', { 'onepass.degraded.reason': reason });
    }
    this.span.set('onepass.surface', this.plan.surface);
    this.span.set('onepass.items', items);
    this.span.set('onepass.kv.source', source);
    if (reasons.size > 0) this.span.set('onepass.degraded', [...reasons].join(','));
  }

  #time(stage: StageName, started: number): void {
    const ms = performance.now() - started;
    this.timings.push({ stage, micros: Math.round(ms * 1000) });
    this.#measurements.record('onepass.stage.duration', ms / 1000, { 'onepass.stage': stage });
  }

  /** Whether a stage that could not be reached may be tried again. */
  mayRetry(stage: StageName): boolean {
    const granted = this.retries.take();
    this.#measurements.count('onepass.retries', {
      'onepass.stage': stage,
      'onepass.retry.outcome': granted ? 'granted' : 'denied',
    });
    return granted;
  }

  /** What the page says of the load: undefined = nothing, since a stage was down. */
  get outcome(): Outcome | undefined {
    if (this.#failures.has('deadline_exceeded') || this.#failures.has('overloaded')) return 'late';
    return this.#failures.size === 0 ? 'whole' : undefined;
  }

  /** Lateness and loss are counted, being normal under load and in roll-outs; anything else is somebody's defect. */
  #report(stage: StageName, error: OnepassError): void {
    this.#measurements.count('onepass.stage.failures', { 'onepass.stage': stage, 'error.type': error.kind });
    if (error.kind !== 'kv_miss') this.#failures.add(error.kind);
    const normal = ['unavailable', 'deadline_exceeded', 'overloaded', 'kv_miss'].includes(error.kind);
    const fields = { stage, kind: error.kind, err: error.cause ?? error, ...this.span.logFields };
    if (!normal) this.#logger.error(fields, error.message);
  }
}

const KV_SOURCES: Readonly<Record<KvSource, AttributesOf<'onepass.pages'>['onepass.kv.source']>> = {
  [KvSource.UNSPECIFIED]: 'none',
  [KvSource.EMPTY]: 'empty',
  [KvSource.SLOT]: 'slot',
  [KvSource.APPEND]: 'append',
  [KvSource.RECOMPUTE]: 'recompute',
  [KvSource.TIER]: 'tier',
};

type DegradedReason = AttributesOf<'onepass.pages.degraded'>['onepass.degraded.reason'];
const REASONS: Readonly<Record<Degraded_Reason, DegradedReason | undefined>> = {
  [Degraded_Reason.UNSPECIFIED]: undefined,
  [Degraded_Reason.RANKING]: 'ranking',
  [Degraded_Reason.ENCODER]: 'encoder',
  [Degraded_Reason.RETRIEVAL]: 'retrieval',
  [Degraded_Reason.HISTORY]: 'history',
  [Degraded_Reason.COVERAGE]: 'coverage',
  [Degraded_Reason.SWITCH]: 'switch',
};

/** What of a stage's failure the caller is told: nothing of the inside. */
export function failureOf(role: string, error: OnepassError): string {
  switch (error.kind) {
    case 'unavailable':
      return `${role} cannot be reached`;
    case 'deadline_exceeded':
      return `${role} was late`;
    case 'overloaded':
      return `${role} is overloaded`;
    case 'release_mismatch':
      return `${role} serves another release`;
    case 'kv_miss':
      return `${role} found no KV`;
    default:
      return `${role} failed`;
  }
}

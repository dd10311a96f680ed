import type { Degraded_Reason } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import type { Logger, Measurements } from '@onepass/telemetry';
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
  readonly #signal: AbortSignal;
  readonly #logger: Logger;
  readonly #measurements: Measurements;
  readonly timings: { stage: StageName; micros: number }[] = [];
  readonly degraded: { reason: Degraded_Reason; detail: string }[] = [];
  readonly warnings: string[] = [];

  constructor(
    request: { plan: Plan; releaseId: string; budget: TimeBudget; nowMs: number; signal: AbortSignal },
    telemetry: { logger: Logger; measurements: Measurements },
  ) {
    this.plan = request.plan;
    this.releaseId = request.releaseId;
    this.budget = request.budget;
    this.nowMs = request.nowMs;
    this.#signal = request.signal;
    this.#logger = telemetry.logger;
    this.#measurements = telemetry.measurements;
  }

  /** Options of a call to a stage: cancelled with the caller's own call. */
  call(deadlineMs: number): { signal: AbortSignal; deadlineMs: number } {
    return { signal: this.#signal, deadlineMs };
  }

  /**
   * Runs and times a stage. Its failure is answered as a value, since most have a way around them; only when the caller has
   * gone does it throw.
   */
  async stage<T>(stage: StageName, work: () => Promise<T>): Promise<T | OnepassError> {
    const started = performance.now();
    try {
      return await work();
    } catch (thrown) {
      if (this.#signal.aborted) throw OnepassError.from(this.#signal.reason);
      const error = OnepassError.from(thrown);
      this.#report(stage, error);
      return error;
    } finally {
      this.#time(stage, started);
    }
  }

  /** Times work that needs no other process. */
  timed<T>(stage: StageName, work: () => T): T {
    const started = performance.now();
    const result = work();
    this.#time(stage, started);
    return result;
  }

  degrade(reason: Degraded_Reason, detail: string): void {
    if (!this.degraded.some((d) => d.reason === reason)) this.degraded.push({ reason, detail });
  }

  #time(stage: StageName, started: number): void {
    this.timings.push({ stage, micros: Math.round((performance.now() - started) * 1000) });
  }

  /** Lateness and loss are counted, being normal under load and in roll-outs; anything else is somebody's defect. */
  #report(stage: StageName, error: OnepassError): void {
    this.#measurements.count(`stage_${stage}_${error.kind}`);
    const normal = ['unavailable', 'deadline_exceeded', 'overloaded', 'kv_miss'].includes(error.kind);
    if (!normal) this.#logger.error({ stage, kind: error.kind, err: error.cause ?? error }, error.message);
  }
}

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

import { setTimeout } from 'node:timers/promises';
import { OnepassError } from '@onepass/errors';
import type { LoggedSlate, Slate, SlateStore } from '@onepass/history';
import type { Logger, Measurements } from '@onepass/telemetry';

export interface SlateWriterOptions {
  readonly store: SlateStore;
  readonly logger: Logger;
  readonly measurements: Measurements;
  /** Slates that may wait; beyond it the oldest are dropped. A slate of 20 items takes about 3 KB. */
  readonly capacity?: number;
}

const CAPACITY = 4_096;
/** Slates of one write. */
const BATCH = 256;
/** How long a slate may wait for company: one write and one sync for all of them. */
const LINGER_MS = 50;
/** How long a store that failed is left alone. */
const RETRY_MS = 1_000;
/** The largest time budget of a request. */
const LONGEST_REQUEST_MS = 60_000;

/**
 * Records served slates behind their answers, in batches, one write at a time. A served slate is not an acknowledged write: when the
 * store is slow or down, the oldest are dropped and counted.
 */
export class SlateWriter {
  readonly #options: SlateWriterOptions;
  readonly #capacity: number;
  #pending: Slate[] = [];
  /** The batch being written; its promise rejects when the store fails. */
  #inFlight: { readonly slates: readonly Slate[]; readonly done: Promise<void> } | undefined;
  #loop: Promise<void> | undefined;
  readonly #stopping = new AbortController();
  /** Persons that are being forgotten, once for each that forgets them. */
  readonly #forgetting: string[] = [];
  /** By person: requests that began before this moment, epoch ms, leave no slate. */
  readonly #forgotten = new Map<string, number>();

  constructor(options: SlateWriterOptions) {
    this.#options = options;
    this.#capacity = options.capacity ?? CAPACITY;
    options.measurements.observe('onepass.slates.pending', () => this.#waiting);
  }

  /** @param startedMs when the request began that it was served for, epoch ms */
  offer(slate: Slate, startedMs: number): void {
    if (slate.person !== undefined && this.#isForgotten(slate.person, startedMs)) return;
    this.#pending.push(slate);
    this.#dropOldest();
    this.#loop ??= this.#run();
  }

  /** The slate, also when it has only just been served. @throws OnepassError `unavailable` when the store fails. */
  async find(person: string | undefined, slateId: string): Promise<LoggedSlate | undefined> {
    while (this.#waits(slateId)) await this.#write();
    return this.#options.store.get(person, slateId);
  }

  /**
   * Drops what waits of the person, then does `work`. Of requests that began before that is done nothing will be recorded.
   * @throws whatever `work` throws
   */
  async forget(person: string, work: () => Promise<void>): Promise<void> {
    this.#forgetting.push(person);
    try {
      const drop = () => {
        this.#pending = this.#pending.filter((slate) => slate.person !== person);
      };
      // A batch that fails waits again.
      for (drop(); this.#inFlight?.slates.some((slate) => slate.person === person); drop()) {
        await this.#inFlight.done.catch(() => {});
      }
      await work();
    } finally {
      this.#forgetting.splice(this.#forgetting.indexOf(person), 1);
      this.#noteForgotten(person, Date.now());
    }
  }

  /** Writes what waits, for at most `patienceMs`; what is left then is lost and counted. */
  async stop(patienceMs: number): Promise<void> {
    this.#stopping.abort();
    const giveUp = new AbortController();
    const late = setTimeout(patienceMs, undefined, { signal: giveUp.signal }).catch(() => {});
    await Promise.race([this.#drain().catch(() => {}), late]);
    giveUp.abort();
    this.#countDropped(this.#waiting);
    this.#pending = [];
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let pauseMs = LINGER_MS;
    while (this.#pending.length > 0 && !signal.aborted) {
      await setTimeout(pauseMs, undefined, { signal }).catch(() => {});
      // Its failure is told and counted where it is written.
      const wrote = await this.#write().then(
        () => true,
        () => false,
      );
      pauseMs = wrote ? LINGER_MS : RETRY_MS;
    }
    this.#loop = undefined;
  }

  async #drain(): Promise<void> {
    while (this.#pending.length > 0 || this.#inFlight !== undefined) await this.#write();
  }

  /** The next batch; the one under way when there is one. */
  #write(): Promise<void> {
    if (this.#inFlight !== undefined) return this.#inFlight.done;
    const slates = this.#pending.splice(0, BATCH);
    if (slates.length === 0) return Promise.resolve();
    const done = this.#record(slates).finally(() => {
      this.#inFlight = undefined;
    });
    this.#inFlight = { slates, done };
    return done;
  }

  async #record(slates: readonly Slate[]): Promise<void> {
    const { store, logger, measurements } = this.#options;
    try {
      await store.record(slates);
      measurements.count('onepass.slates', { 'onepass.slate.outcome': 'recorded' }, slates.length);
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      logger.warn({ err: error.cause ?? error, slates: slates.length }, 'slates cannot be recorded');
      // Anything but a store that is down would fail again.
      if (error.kind === 'unavailable') {
        this.#pending = [...slates, ...this.#pending];
        this.#dropOldest();
      } else this.#countDropped(slates.length);
      throw error;
    }
  }

  #isForgotten(person: string, startedMs: number): boolean {
    return this.#forgetting.includes(person) || startedMs <= (this.#forgotten.get(person) ?? 0);
  }

  #noteForgotten(person: string, nowMs: number): void {
    this.#forgotten.delete(person);
    this.#forgotten.set(person, nowMs);
    // The oldest first: of requests that began before these nothing can come any more.
    for (const [oldest, beforeMs] of this.#forgotten) {
      if (beforeMs > nowMs - LONGEST_REQUEST_MS) return;
      this.#forgotten.delete(oldest);
    }
  }

  get #waiting(): number {
    return this.#pending.length + (this.#inFlight?.slates.length ?? 0);
  }

  #waits(slateId: string): boolean {
    const isIt = (slate: Slate) => slate.slateId === slateId;
    return this.#pending.some(isIt) || (this.#inFlight?.slates.some(isIt) ?? false);
  }

  #dropOldest(): void {
    const excess = this.#pending.length - this.#capacity;
    if (excess <= 0) return;
    this.#pending.splice(0, excess);
    this.#countDropped(excess);
  }

  #countDropped(slates: number): void {
    if (slates === 0) return;
    this.#options.measurements.count('onepass.slates', { 'onepass.slate.outcome': 'dropped' }, slates);
  }
}

import { OnepassError, overloaded } from '@onepass/errors';
import { ConcurrencyLimit, type LimitOptions, type Outcome } from './concurrency-limit.js';
import type { Priority } from './priority.js';
import { WaitingLine } from './waiting-line.js';

export interface AdmissionOptions {
  readonly limit: LimitOptions;
  /** Calls that may wait. */
  readonly maxWaiting: number;
  /** How long an interactive call may be expected to wait, in ms; lower priorities a share of it. */
  readonly patienceMs: number;
}

/** Shares of the patience: what can come later is refused earlier. */
const PATIENCE: Readonly<Record<Priority, number>> = { interactive: 1, prefetch: 0.5, batch: 0.25 };

/**
 * Why a call was refused. `late`: not likely to be done by its deadline. `full`: more would wait than may, or longer. `displaced`: gave its
 * place to a higher priority. `expired`: its time ran out while it waited.
 */
export const REFUSALS = ['late', 'full', 'displaced', 'expired'] as const;
export type Refusal = (typeof REFUSALS)[number];

/** Told of everything that is decided; for metrics. */
export interface AdmissionListener {
  refused(why: Refusal, priority: Priority): void;
  /** A call that had to wait begins. */
  waited(predictedMs: number, actualMs: number): void;
}

/** Times are readings of the admission's clock, in ms. */
export interface Applicant {
  readonly priority: Priority;
  /** Infinity = none. */
  readonly deadlineMs: number;
  /** Its turn: at once, within `apply`, or later. The work must end with `finish` of the ticket. */
  begin(ticket: Ticket): void;
  /** It waited in vain. */
  drop(why: OnepassError): void;
}

/** One call in flight. */
export interface Ticket {
  /** Once. @param outcome undefined says nothing of the machine: the caller went away, the request was wrong, a stage is down. */
  finish(outcome: Outcome | undefined): void;
}

interface Waiting {
  readonly applicant: Applicant;
  readonly sinceMs: number;
  readonly predictedMs: number;
}

/**
 * Which calls begin now, which wait, and which are refused at once because they would not be done in time. Does no I/O and sets no timer:
 * everything happens within `apply`, `finish` and the withdrawal that `apply` answers.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #now: () => number;
  readonly #listener: AdmissionListener | undefined;
  readonly #limit: ConcurrencyLimit;
  readonly #line = new WaitingLine<Waiting>();
  #inFlight = 0;

  /** @param now the clock, in ms */
  constructor(options: AdmissionOptions, now: () => number, listener?: AdmissionListener) {
    this.#options = options;
    this.#now = now;
    this.#listener = listener;
    this.#limit = new ConcurrencyLimit(options.limit);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get limit(): number {
    return this.#limit.value;
  }

  waiting(priority: Priority): number {
    return this.#line.waiting(priority);
  }

  /**
   * @returns withdraws the call while it waits, and does nothing once it has begun
   * @throws OnepassError `overloaded`, or `deadline_exceeded` when there is no time at all
   */
  apply(applicant: Applicant): () => void {
    const { priority } = applicant;
    const now = this.#now();
    if (now >= applicant.deadlineMs) throw new OnepassError({ kind: 'deadline_exceeded' }, 'the deadline has passed');
    if (this.#inFlight < this.#limit.value) {
      this.#begin(applicant, now);
      return () => {};
    }
    const predictedMs = this.#waitMs(this.#line.ahead(priority) + 1);
    const refusal = this.#refusal(applicant, now, predictedMs) ?? this.#makeRoom(priority);
    if (refusal !== undefined) throw this.#refuse(refusal, priority);
    const waiting = { applicant, sinceMs: now, predictedMs };
    this.#line.add(waiting, priority);
    return () => void this.#line.remove(waiting, priority);
  }

  #refusal({ priority, deadlineMs }: Applicant, now: number, predictedMs: number): Refusal | undefined {
    if (now + predictedMs + this.#limit.usualMostMs > deadlineMs) return 'late';
    // One of each lower priority may always wait, so that none is refused for ever.
    if (priority !== 'interactive' && this.#line.waiting(priority) === 0) return undefined;
    return predictedMs > PATIENCE[priority] * this.#options.patienceMs ? 'full' : undefined;
  }

  #makeRoom(priority: Priority): Refusal | undefined {
    if (this.#line.length < this.#options.maxWaiting) return undefined;
    const displaced = this.#line.displace(priority);
    if (displaced === undefined) return 'full';
    displaced.applicant.drop(this.#refuse('displaced', displaced.applicant.priority));
    return undefined;
  }

  /** By Little's law `limit` calls that take `serviceMs` each leave at limit / serviceMs. */
  #waitMs(places: number): number {
    return (places * this.#limit.serviceMs) / this.#limit.value;
  }

  /** To be tried again when all that wait now will have begun, if nothing else came: an estimate without jitter, which is the caller's to add. */
  #refuse(why: Refusal, priority: Priority): OnepassError {
    this.#listener?.refused(why, priority);
    const retryAfterMs = Math.max(1, Math.ceil(this.#waitMs(this.#line.length + 1)));
    return overloaded(retryAfterMs, SENTENCES[why]);
  }

  #begin(applicant: Applicant, beganMs: number): void {
    this.#inFlight += 1;
    let finished = false;
    applicant.begin({
      finish: (outcome) => {
        if (finished) return;
        finished = true;
        // Who gave less time than a call takes says nothing by being late.
        const hasty = applicant.deadlineMs - beganMs < this.#limit.serviceMs;
        this.#finished(beganMs, outcome === 'late' && hasty ? undefined : outcome);
      },
    });
  }

  #finished(beganMs: number, outcome: Outcome | undefined): void {
    const now = this.#now();
    if (outcome !== undefined && now >= beganMs) this.#limit.finished(now - beganMs, outcome, this.#inFlight);
    this.#inFlight -= 1;
    while (this.#inFlight < this.#limit.value) {
      const next = this.#line.take();
      if (next === undefined) return;
      const { applicant, sinceMs, predictedMs } = next;
      if (now + this.#limit.serviceMs > applicant.deadlineMs) {
        applicant.drop(this.#refuse('expired', applicant.priority));
      } else {
        this.#listener?.waited(predictedMs, now - sinceMs);
        this.#begin(applicant, now);
      }
    }
  }
}

const SENTENCES: Readonly<Record<Refusal, string>> = {
  late: 'too much work is in hand for this call to be done in time',
  full: 'too many calls wait',
  displaced: 'calls of a higher priority took its place',
  expired: 'its time ran out while it waited',
};

export interface AdmittedTerms {
  readonly priority: Priority;
  /** Reading of the admission's clock; Infinity = none. */
  readonly deadlineMs: number;
  /** Its signal, aborted when it goes, is asked for only when it has to wait: making one costs more than a refusal. */
  readonly caller: { readonly signal: AbortSignal };
}

/**
 * Does `work` when it is admitted.
 * @param work how it went, for the limit, is what it answers beside its result; of rejections only a missed deadline says something
 * @throws OnepassError `overloaded`; the signal's reason when it is aborted while the work waits, which then never begins; else what the
 * work throws
 */
export function admitted<T>(
  admission: Admission,
  { priority, deadlineMs, caller }: AdmittedTerms,
  work: () => Promise<readonly [T, Outcome | undefined]>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let begun = false;
    let stopWaiting = () => {};
    const begin = (ticket: Ticket) => {
      begun = true;
      stopWaiting();
      work().then(
        ([result, outcome]) => {
          ticket.finish(outcome);
          resolve(result);
        },
        (error) => {
          ticket.finish(OnepassError.from(error).kind === 'deadline_exceeded' ? 'late' : undefined);
          reject(error);
        },
      );
    };
    const drop = (why: OnepassError) => {
      stopWaiting();
      reject(why);
    };
    const withdraw = admission.apply({ priority, deadlineMs, begin, drop });
    if (begun) return;
    const { signal } = caller;
    const gone = () => {
      withdraw();
      reject(OnepassError.from(signal.reason));
    };
    if (signal.aborted) return gone();
    signal.addEventListener('abort', gone, { once: true });
    stopWaiting = () => signal.removeEventListener('abort', gone);
  });
}

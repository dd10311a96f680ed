import { type ErrorKind, OnepassError } from '@onepass/errors';
import type { ActivePerson } from '@onepass/history';
import type { Outcome } from './cost.js';
import type { EncodedPerson, EncoderCell } from './encoder-cell.js';
import { Pace, Patience, until } from './pace.js';

/** Refused for load, and after some tries too; any other way that a person's encode failed. */
export type Failing = 'refused' | 'failed';

/** What became of people. Who is in none of it was not asked for. */
export class Tally {
  readonly people: Record<Outcome | Failing, number> = {
    encoded: 0,
    restored: 0,
    held: 0,
    appended: 0,
    empty: 0,
    refused: 0,
    failed: 0,
  };
  /** Of each kind of failure the first sentence, and why cells were left. */
  readonly reasons = new Map<string, string>();

  get done(): number {
    return Object.values(this.people).reduce((sum, count) => sum + count, 0);
  }

  failed(as: Failing, cell: EncoderCell, error: OnepassError): void {
    this.people[as] += 1;
    if (!this.reasons.has(error.kind)) this.reasons.set(error.kind, `the cell ${cell.name}: ${error.message}`);
  }

  left(cell: EncoderCell, error: OnepassError): void {
    this.reasons.set(cell.name, `the cell ${cell.name} was left: ${error.message}`);
  }
}

/** What the next person would be answered as well. */
const SAME_FOR_ALL: ReadonlySet<ErrorKind> = new Set([
  'unavailable',
  'release_mismatch',
  'unauthenticated',
  'permission_denied',
  'unimplemented',
  'invalid_argument',
]);

export interface WarmTerms {
  /** Encodes a second, at most. */
  readonly rate: number;
  /** Encodes under way, at most. */
  readonly inFlight: number;
  /** When it is aborted the work ends: nobody further is asked for, what is under way is cancelled. */
  readonly signal: AbortSignal;
}

/** A cell that is being warmed. */
export class WarmCell {
  readonly cell: EncoderCell;
  readonly #terms: WarmTerms;
  readonly #tally: Tally;
  readonly #pace: Pace;
  readonly #patience = new Patience();

  constructor(cell: EncoderCell, tally: Tally, terms: WarmTerms) {
    this.cell = cell;
    this.#terms = terms;
    this.#tally = tally;
    this.#pace = new Pace(terms.rate);
  }

  /** Encodes people in order. What goes wrong is told in the tally; a cell that answers nobody is left. */
  async warm(people: readonly ActivePerson[]): Promise<void> {
    const left = new AbortController();
    const signal = AbortSignal.any([this.#terms.signal, left.signal]);
    const waiting = people[Symbol.iterator]();
    const work = async () => {
      // One iterator for all: whoever is free takes the next.
      for (const person of { [Symbol.iterator]: () => waiting }) {
        try {
          await this.encode(person, signal);
        } catch (thrown) {
          if (signal.aborted) return;
          this.#tally.left(this.cell, OnepassError.from(thrown));
          left.abort();
          return;
        }
      }
    };
    await Promise.all(Array.from({ length: this.#terms.inFlight }, work));
  }

  /**
   * One person, in their turn and with patience, counted.
   * @returns undefined when only this one could not be encoded
   * @throws OnepassError what everybody else would be answered too; the signal's reason
   */
  async encode(person: ActivePerson, signal: AbortSignal): Promise<EncodedPerson | undefined> {
    await until(this.#pace.take(performance.now()), signal);
    for (let tries = 1; ; tries++) {
      await until(this.#patience.untilMs, signal);
      try {
        const encoded = await this.cell.encode(person, signal);
        this.#patience.answered();
        this.#tally.people[encoded.outcome] += 1;
        return encoded;
      } catch (thrown) {
        signal.throwIfAborted();
        const error = OnepassError.from(thrown);
        if (this.#patience.refused(error, tries, performance.now())) continue;
        if (SAME_FOR_ALL.has(error.kind)) throw error;
        const forLoad = error.kind === 'overloaded' || error.kind === 'deadline_exceeded';
        this.#tally.failed(forLoad ? 'refused' : 'failed', this.cell, error);
        return undefined;
      }
    }
  }
}

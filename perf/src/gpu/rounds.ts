import { median } from '../statistics.js';
import type { CaseRound, MeasuredCase, ReadyCase } from './gpu-case.js';

/** Of one case in one round. */
export interface RoundEffort {
  readonly micros: number;
  readonly least: number;
  readonly most: number;
}

export const FULL_ROUND: RoundEffort = { micros: 60_000, least: 3, most: 30 };
export const SMOKE_ROUND: RoundEffort = { micros: 2_000, least: 1, most: 3 };

/** Runs that fill a round, by how long one took. */
export const runsOf = (micros: number, { micros: wanted, least, most }: RoundEffort) =>
  Math.min(most, Math.max(least, Math.round(wanted / Math.max(1, micros))));

export interface RoundsTerms {
  readonly effort: RoundEffort;
  /** As `performance.now()` counts: a round that would not end before it is not begun. Absent = there is time. */
  readonly endAt?: number | undefined;
  progress(line: string): void;
  failed(ready: ReadyCase, error: unknown): void;
  /** After each round, when what it found is in `measured`. */
  onRound(): Promise<void>;
}

/** How much longer than the one before a round may be expected to take. */
const SLOWER = 1.2;

/** What was measured so far, in rounds that each have all of their cases or do not count. */
export class Rounds {
  readonly #terms: RoundsTerms;
  readonly #found = new Map<ReadyCase, CaseRound[]>();
  readonly #runs = new Map<ReadyCase, number>();
  readonly #failed = new Set<ReadyCase>();
  #round = 0;

  constructor(terms: RoundsTerms) {
    this.#terms = terms;
  }

  /** Those that never failed. */
  get measured(): MeasuredCase[] {
    const good = [...this.#found].filter(([ready]) => !this.#failed.has(ready));
    return good.map(([{ case: of }, rounds]) => ({ case: of, rounds }));
  }

  /** Cases that were measured and never failed. */
  get ready(): ReadyCase[] {
    return [...this.#found.keys()].filter((ready) => !this.#failed.has(ready));
  }

  /**
   * Every case once a round, each round beginning with another one, so that what drifts falls on all alike. What fails is left out from then on and told.
   * @param name of these cases, for whoever waits
   */
  async measure(name: string, cases: readonly ReadyCase[], rounds: number): Promise<void> {
    for (const ready of cases) await this.#attempt(ready, () => this.#tryOut(ready));
    let lastMs = 0;
    for (let i = 0; i < rounds; i++) {
      const began = performance.now();
      if (began + SLOWER * lastMs > (this.#terms.endAt ?? Number.POSITIVE_INFINITY)) {
        this.#terms.progress(`${name}: no time for more than ${i} of ${rounds} rounds`);
        return;
      }
      const left = cases.filter((ready) => !this.#failed.has(ready));
      this.#terms.progress(`${name}: round ${i + 1} of ${rounds}, ${left.length} cases`);
      await this.#play(left, Math.floor((i * left.length) / rounds));
      await this.#terms.onRound();
      lastMs = performance.now() - began;
    }
  }

  /** One round, kept when it is whole. */
  async #play(cases: readonly ReadyCase[], first: number): Promise<void> {
    const round = this.#round++;
    const seen: (readonly [ReadyCase, CaseRound])[] = [];
    for (const ready of [...cases.slice(first), ...cases.slice(0, first)])
      await this.#attempt(ready, async () => {
        const { deviceMicros, wallMicros } = await ready.time(this.#runs.get(ready)!);
        seen.push([ready, { round, deviceMicros: median(deviceMicros), wallMicros: median(wallMicros) }]);
      });
    for (const [ready, times] of seen) this.#found.set(ready, [...(this.#found.get(ready) ?? []), times]);
  }

  /** Once, to warm it, and then for how often it fills a round. */
  async #tryOut(ready: ReadyCase): Promise<void> {
    if (this.#runs.has(ready)) return;
    await ready.time(1);
    const { wallMicros } = await ready.time(this.#terms.effort.least);
    this.#runs.set(ready, runsOf(median(wallMicros), this.#terms.effort));
  }

  async #attempt(ready: ReadyCase, work: () => Promise<void>): Promise<void> {
    if (this.#failed.has(ready)) return;
    await work().catch((error: unknown) => {
      this.#failed.add(ready);
      this.#terms.failed(ready, error);
    });
  }
}

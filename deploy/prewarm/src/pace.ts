import { setTimeout } from 'node:timers/promises';
import type { OnepassError } from '@onepass/errors';

/** At most so many a second, evenly: what was late is not made up for by a burst. */
export class Pace {
  readonly #intervalMs: number;
  #nextMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#intervalMs = 1_000 / perSecond;
  }

  /** Takes the next turn. @returns when it is, on the clock of `nowMs` */
  take(nowMs: number): number {
    const turn = Math.max(nowMs, this.#nextMs);
    this.#nextMs = turn + this.#intervalMs;
    return turn;
  }
}

/** A person is tried so often at a cell that refuses for its load, or is late. */
const TRIES = 10;
/** A cell may be away for so long. */
const AWAY_MS = 60_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;

/** When a cell that refused, or cannot be reached, is asked again: then nobody is asked for meanwhile. */
export class Patience {
  #untilMs = Number.NEGATIVE_INFINITY;
  #awaySinceMs: number | undefined;
  /** Refusals in a row. */
  #refusals = 0;

  /** Until when to wait. */
  get untilMs(): number {
    return this.#untilMs;
  }

  answered(): void {
    this.#awaySinceMs = undefined;
    this.#refusals = 0;
  }

  /**
   * @param tries of this person so far
   * @returns whether to try the person again, when the wait is over
   */
  refused(error: OnepassError, tries: number, nowMs: number): boolean {
    const { detail } = error;
    if (!['overloaded', 'deadline_exceeded', 'unavailable'].includes(detail.kind)) return false;
    this.#refusals += 1;
    const growing = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#refusals - 1));
    const asked = detail.kind === 'overloaded' ? detail.retryAfterMs : 0;
    this.#untilMs = Math.max(this.#untilMs, nowMs + Math.max(growing, asked));
    if (detail.kind !== 'unavailable') return tries < TRIES;
    this.#awaySinceMs ??= nowMs;
    return nowMs - this.#awaySinceMs < AWAY_MS;
  }
}

/** Resolves at `atMs` of `performance.now()`. @throws the signal's reason */
export async function until(atMs: number, signal: AbortSignal): Promise<void> {
  for (let ms = atMs - performance.now(); ms > 0; ms = atMs - performance.now()) {
    await setTimeout(ms, undefined, { signal });
  }
  signal.throwIfAborted();
}

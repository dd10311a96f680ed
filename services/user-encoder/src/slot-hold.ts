import { setTimeout } from 'node:timers/promises';
import type { CallPriority } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import type { KvPoolWriter, SlotState } from '@onepass/kv';
import type { Span } from '@onepass/telemetry';

/** Of a call: when it is given up, and by when it must be answered. */
export interface EncodeCall {
  readonly signal: AbortSignal;
  /** Epoch ms; Infinity = none. */
  readonly deadlineMs: number;
  readonly priority: CallPriority;
  readonly span: Span;
  remainingMs(): number;
}

/** Kept back of a deadline, for the work that a claimed slot is for. */
const WORK_MS = 10;
/** For a call without a deadline. */
const MAX_PATIENCE_MS = 5_000;
const POLL_MS = 2;

/** The one slot that a piece of work has pinned, so that nobody else's claim takes it across an await. */
export class SlotHold {
  readonly #pool: KvPoolWriter;
  readonly #person: string;
  #slot: SlotState | undefined;

  /** Holds what the person has. */
  constructor(pool: KvPoolWriter, person: string) {
    this.#pool = pool;
    this.#person = person;
    this.#slot = pool.find(person);
    if (this.#slot !== undefined) pool.pin(this.#slot);
  }

  get slot(): SlotState | undefined {
    return this.#slot;
  }

  /**
   * Gives up what is held for an empty slot of a new generation. When every slot is in work or rests, waits for one as long as the call
   * allows.
   * @param restMs what the pool's freed slots rest: when to try again
   * @throws OnepassError `overloaded`, or the signal's reason.
   */
  async claim(call: EncodeCall, restMs: number): Promise<SlotState> {
    // Not held while waiting: the person's own old slot may be the one that is free.
    this.end();
    const started = performance.now();
    const patienceMs = Math.min(call.remainingMs() - WORK_MS, MAX_PATIENCE_MS);
    for (;;) {
      this.#slot = this.#pool.claim(this.#person);
      if (this.#slot !== undefined) return this.#slot;
      if (performance.now() - started >= patienceMs) {
        throw new OnepassError(
          { kind: 'overloaded', retryAfterMs: restMs },
          'every KV slot of this cell is in use; the pool is too small for the persons asked for at one time',
        );
      }
      await setTimeout(POLL_MS, undefined, { signal: call.signal }).catch(() => {
        throw OnepassError.from(call.signal.reason);
      });
    }
  }

  /** Lets go; a claim that was not published ends. */
  end(): void {
    if (this.#slot !== undefined) this.#pool.unpin(this.#slot);
    this.#slot = undefined;
  }
}

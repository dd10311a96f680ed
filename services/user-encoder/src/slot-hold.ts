import { setTimeout } from 'node:timers/promises';
import type { CallPriority } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import type { KvRefusal, KvSlots, SlotState, Visit } from '@onepass/kv';
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

/** Kept back of a deadline, for the work that a slot is for. */
const WORK_MS = 10;
/** For a call without a deadline. */
const MAX_PATIENCE_MS = 5_000;
const POLL_MS = 2;

/** The one slot that a piece of work has leased, so that nobody else's takes it across an await. */
export class SlotHold {
  readonly #kv: KvSlots;
  readonly #person: string;
  readonly #visit: Visit;
  #slot: SlotState | undefined;

  /** Holds what the person has. */
  constructor(kv: KvSlots, person: string, visit: Visit) {
    this.#kv = kv;
    this.#person = person;
    this.#visit = visit;
    this.#slot = kv.lookup(person, visit);
    if (this.#slot !== undefined) kv.lease(this.#slot);
  }

  get slot(): SlotState | undefined {
    return this.#slot;
  }

  /**
   * Gives up what is held for an empty slot of a new generation, with room for so many tokens. Waits for one as long as the call allows.
   * @param restMs what the pool's retired slots rest: when to try again
   * @throws OnepassError `overloaded`, or the signal's reason.
   */
  async allocate(tokens: number, call: EncodeCall, restMs: number): Promise<SlotState> {
    // Not held while waiting: the person's own old slot may be the one that is free.
    this.end();
    await patiently(call, restMs, () => {
      const found = this.#kv.allocate(this.#person, tokens, this.#visit);
      if (typeof found === 'string') return found;
      this.#slot = found;
      return undefined;
    });
    return this.#slot!;
  }

  /** Room for so many tokens in the slot that is held, as `allocate`. @throws as `allocate` */
  grow(tokens: number, call: EncodeCall, restMs: number): Promise<void> {
    return patiently(call, restMs, () => this.#kv.grow(this.#slot!, tokens));
  }

  /** Lets go; an allocation that was not published ends. */
  end(): void {
    if (this.#slot !== undefined) this.#kv.release(this.#slot);
    this.#slot = undefined;
  }
}

const REFUSALS: Readonly<Record<KvRefusal, string>> = {
  no_slot: 'every KV slot of this cell is in use; the pool is too small for the persons asked for at one time',
  no_memory:
    "all memory for KV of this cell is in use; it is too small for the persons' histories asked for at one time",
};

/** Tries until it is not refused, as long as the call allows. */
async function patiently(call: EncodeCall, restMs: number, attempt: () => KvRefusal | undefined): Promise<void> {
  const started = performance.now();
  const patienceMs = Math.min(call.remainingMs() - WORK_MS, MAX_PATIENCE_MS);
  for (;;) {
    const refusal = attempt();
    if (refusal === undefined) return;
    if (performance.now() - started >= patienceMs) {
      throw new OnepassError({ kind: 'overloaded', retryAfterMs: restMs }, REFUSALS[refusal]);
    }
    await setTimeout(POLL_MS, undefined, { signal: call.signal }).catch(() => {
      throw OnepassError.from(call.signal.reason);
    });
  }
}

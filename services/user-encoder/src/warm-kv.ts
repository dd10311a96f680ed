import { OnepassError } from '@onepass/errors';
import type { HistoryHead, HistoryStore } from '@onepass/history';
import type { KvSlots, KvTensors, SlotState } from '@onepass/kv';
import type { PersonKey } from '@onepass/routing';
import type { Lease, WarmEntry, WarmTier } from '@onepass/warm-tier';
import { type PersonState, type PersonStates, SeenItems } from './person-state.js';
import type { EncodeCall, SlotHold } from './slot-hold.js';
import type { Work } from './work.js';

export interface WarmKvParts {
  readonly tier: WarmTier;
  readonly kv: KvSlots;
  /** A leased slot's K and V in place, whole capacity. */
  readonly tensors: (slot: SlotState) => KvTensors;
  readonly history: HistoryStore;
  readonly states: PersonStates;
  readonly restMs: number;
  readonly window: number;
  readonly contextRows: number;
  /** Whether what the tier holds may be used. */
  readonly mayUse: () => boolean;
}

/** Brings KV that is in no slot back from the warm tier, as if it had been held all the time. */
export class WarmKv {
  readonly #parts: WarmKvParts;

  constructor(parts: WarmKvParts) {
    this.#parts = parts;
  }

  /**
   * Fills a slot from the tier, where the person has none and the tier something that the history may go on from.
   * @returns whether it did; what is wrong with the tier is not the request's concern
   * @throws OnepassError as `SlotHold.allocate`
   */
  async bringBack(person: PersonKey, hold: SlotHold, { call, stages }: Work): Promise<boolean> {
    if (hold.slot !== undefined || this.#parts.tier.usedFrom === undefined || !this.#parts.mayUse()) return false;
    const started = performance.now();
    const span = call.span.child('restore_kv');
    try {
      return await this.#restore(person, hold, call);
    } finally {
      stages.addSince('restore', started);
      span.end();
    }
  }

  async #restore(person: PersonKey, hold: SlotHold, call: EncodeCall): Promise<boolean> {
    const { tier, kv, tensors, history, states, restMs, contextRows } = this.#parts;
    const [entry, head] = await Promise.all([
      tier.find(person, call.signal),
      history.head(person).catch(() => undefined),
    ]);
    if (entry === undefined || head === undefined || !this.#leadsTo(head, entry)) return false;
    const { content, lastMs } = entry;
    const seen = await this.#seen(person, content);
    if (seen === undefined) return false;
    const slot = await hold.allocate(content.length + contextRows, call, restMs);
    try {
      await entry.restore(tensors(slot), call);
    } catch (thrown) {
      hold.end();
      if (call.signal.aborted) throw OnepassError.from(thrown);
      return false;
    }
    kv.publish(slot, { ...content, isLossy: !entry.exact });
    states.set(person, { head: { sequence: content.sequence, hash: content.hash }, lastMs, seen });
    return true;
  }

  /** The slot of a person as the tier is to write it; what is not exact is there already. */
  leaseOf(person: string): Lease | undefined {
    const { kv, tensors, states } = this.#parts;
    const slot = kv.lookup(person, 'scan');
    const state = states.get(person);
    if (slot === undefined || slot.isLossy || state?.lastMs === undefined || state.head.hash !== slot.hash)
      return undefined;
    const { length, sequence, hash } = slot;
    kv.lease(slot);
    return {
      content: { length, sequence, hash },
      lastMs: state.lastMs,
      tensors: tensors(slot),
      end: () => kv.release(slot),
    };
  }

  /** Whether it is worth the copy: whether the history really goes on from it shows when its tail is read. What is not exact must be all of it. */
  #leadsTo({ sequence, hash }: HistoryHead, { content, exact }: WarmEntry): boolean {
    if (sequence === content.sequence) return hash === content.hash;
    const behind = sequence - content.sequence;
    return exact && behind > 0 && behind <= this.#parts.window;
  }

  async #seen(person: PersonKey, content: WarmEntry['content']): Promise<PersonState['seen'] | undefined> {
    const { history, states } = this.#parts;
    const known = states.get(person);
    if (known?.head.sequence === content.sequence && known.head.hash === content.hash) return known.seen;
    return history.actedItemIds(person).then(
      ({ itemIds }) => new SeenItems(itemIds),
      () => undefined,
    );
  }
}
